"""One Redis server for all stores of a process: its address, one pool of connections, patience, and its errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

from redis import ConnectionPool, Redis, SSLConnection
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.credentials import CredentialProvider
from redis.retry import Retry

from omakase.adapters.gcp.redis.patience import Patience
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput

T = TypeVar("T")

_OPTIONS = ("prefix", "expiry_s", "password_file", "ca_file", "timeout_s", "patience_s")
_PREFIX = re.compile(r"[A-Za-z0-9_.-]+")  # nothing that SCAN takes for a pattern
_OLDEST = (7, 0)  # from here on a script's error says what kind it is
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and how to get in. Units: seconds; `timeout_s` bounds a connection and each answer."""

    host: str
    port: int
    database: int
    user: str | None
    password: str | None = field(repr=False)
    password_file: Path | None
    is_tls: bool
    ca_file: str | None
    timeout_s: float

    @classmethod
    def of(cls, uri: Uri) -> Address:
        """Raises: InvalidInput, which repeats no password."""
        try:
            parts = urlsplit(f"{uri.scheme}:{uri.location}")
            database = int(parts.path.strip("/") or 0)
            port = parts.port or 6379
        except ValueError as error:
            raise _unreadable(uri) from error
        if not parts.hostname or database < 0:
            raise _unreadable(uri)
        password_file = uri.options.get("password_file")
        return cls(
            parts.hostname,
            port,
            database,
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
            Path(password_file) if password_file else None,
            uri.scheme == "rediss",
            uri.options.get("ca_file"),
            _seconds(uri, "timeout_s", 2.0),
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


class _Credentials(CredentialProvider):
    """Read for each connection, so that a password that changes is taken up without a restart."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._address.password or ""
        if self._address.password_file is not None:
            try:
                password = self._address.password_file.read_text().strip()
            except OSError as error:
                raise InvalidInput(f"password_file={self._address.password_file}: {error.strerror}") from error
        return (self._address.user, password) if self._address.user else (password,)


class Server:
    """What the stores of one prefix share. Safe to share between threads.

    Addresses: `redis://[[user]:password@]host:port/db[?option=value&…]`, `rediss://…` for TLS. Options:
    `prefix` (omakase) begins every key; `expiry_s` (172800), see RedisDeliveryStore; `password_file` names a file that
    holds the password, so that it stands in no argument and no log; `ca_file` the one authority that may have signed
    the server's certificate, whatever host that names (Memorystore gives it out, an instance's own); `timeout_s` (2)
    bounds a connection and each answer; `patience_s` (5) is how long what fails is tried again.

    One primary with any number of replicas, Redis 7 or Valkey; no Redis Cluster, for a script here touches the keys of
    many slates. A server that may evict what has no expiry is refused: waiting events and orders were promised.
    """

    def __init__(self, address: Address, prefix: str, expiry_s: float, patience: Patience) -> None:
        """Raises: InvalidInput, Unavailable."""
        self.prefix = prefix
        self.expiry_s = expiry_s
        self._address = address
        self._patience = patience
        self._client = _client(address)
        self.do("look at", lambda client: _refuse(client, address))

    @classmethod
    def of(cls, uri: Uri) -> Self:
        prefix = uri.only(*_OPTIONS).get("prefix", "omakase")
        if not _PREFIX.fullmatch(prefix):
            raise InvalidInput(f"{uri.text!r}: a prefix is made of letters, digits, '_', '.' and '-'")
        patience = Patience(_seconds(uri, "patience_s", 5.0))
        return cls(Address.of(uri), f"{prefix}:", _seconds(uri, "expiry_s", 2 * _DAY_S), patience)

    def do(self, doing: str, work: Callable[[Redis], T]) -> T:
        """Work with the client, again while that may help: it must be idempotent. Raises: Unavailable, Overloaded."""
        return self._patience.with_client(self._client, f"cannot {doing} Redis at {self._address}", work)

    def script(self, doing: str, source: str, *arguments: bytes | str | float) -> Any:
        """Run a Lua script, which gets the prefix as its key: atomic, and one round trip.

        The source is sent each time, some hundred bytes, so that a server that has forgotten it needs no other way.
        """
        return self.do(doing, lambda client: client.eval(source, 1, self.prefix, *arguments))


@lru_cache(maxsize=16)
def _client(address: Address) -> Redis:
    """One for all stores of a process; it connects when it is used, as often as there are threads at once."""
    options: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "db": address.database,
        "socket_timeout": address.timeout_s,
        "socket_connect_timeout": address.timeout_s,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),  # Patience has it: theirs multiply, a connection's by a command's
    }
    if address.password is not None or address.password_file is not None:
        options["credential_provider"] = _Credentials(address)
    if address.is_tls:
        options["ssl_ca_certs"] = address.ca_file
        # Memorystore's certificates name no host; their authority signs for one instance alone, which is as good.
        options["ssl_check_hostname"] = address.ca_file is None
    kind = SSLConnection if address.is_tls else Connection
    return Redis(connection_pool=ConnectionPool(connection_class=kind, **options))


def _refuse(client: Redis, address: Address) -> None:
    """Raises: InvalidInput for a server that cannot keep what the stores promise."""
    told: Any = client.info()
    version = tuple(int(part) for part in str(told.get("redis_version", "7.0")).split(".")[:2])
    if version < _OLDEST:
        raise InvalidInput(f"Redis at {address} is {told['redis_version']}: use 7.0 or later")
    if told.get("cluster_enabled"):
        raise InvalidInput(f"Redis at {address} is a Redis Cluster: use a single primary, with replicas")
    policy = str(told.get("maxmemory_policy", ""))
    if policy.startswith("allkeys"):
        raise InvalidInput(
            f"Redis at {address} would evict waiting events and orders (maxmemory-policy {policy}): use noeviction, or "
            "volatile-ttl, which evicts the oldest delivery records first"
        )


def _seconds(uri: Uri, option: str, default: float) -> float:
    text = uri.options.get(option)
    try:
        seconds = default if text is None else float(text)
    except ValueError:
        seconds = 0.0
    if not 0.001 <= seconds <= 366 * _DAY_S:
        raise InvalidInput(f"{uri.text!r}: {option} is a number of seconds, not {text!r}")
    return seconds


def _unreadable(uri: Uri) -> InvalidInput:
    return InvalidInput(f"{uri.text!r}: write {uri.scheme}://[:password@]host:port/db, such as redis://10.0.0.3:6379/0")
