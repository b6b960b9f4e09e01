"""Certificates of the services, as PEM files that may be replaced while they are in use."""

from __future__ import annotations

import logging
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc

from omakase.core.errors import InvalidConfig

log = logging.getLogger(__name__)


class _Settings(Protocol):
    @property
    def grpc_certificate(self) -> str | None: ...

    @property
    def grpc_key(self) -> str | None: ...

    @property
    def grpc_ca(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its chain, and its private key."""

    certificate: Path
    key: Path

    def check(self) -> None:
        """Raises: InvalidConfig unless both can be read and belong together."""
        self.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def load_into(self, context: ssl.SSLContext) -> None:
        """Raises: InvalidConfig."""
        try:
            context.load_cert_chain(self.certificate, self.key, password="")  # else OpenSSL asks at the terminal
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or "cannot be read"
            raise InvalidConfig([f"{self.certificate} and {self.key}: no certificate with its key: {why}"]) from None

    def version(self) -> tuple[int, ...]:
        """Changes when a file does."""
        return tuple(number for path in (self.certificate, self.key) for number in _version(path))


@dataclass(frozen=True, slots=True)
class MutualTls:
    """What a service shows to the others, and who signs what they show. Whoever has a certificate of `authority` may
    call: it signs for these services and for nobody else."""

    pair: Pair
    authority: Path

    @classmethod
    def of(cls, settings: _Settings) -> MutualTls | None:
        """None if no file is given. Raises: InvalidConfig if some are missing or cannot be used."""
        given = (settings.grpc_certificate, settings.grpc_key, settings.grpc_ca)
        if not any(given):
            return None
        certificate, key, authority = given
        if certificate is None or key is None or authority is None:
            raise InvalidConfig(["OMAKASE_GRPC_CERTIFICATE, OMAKASE_GRPC_KEY, OMAKASE_GRPC_CA: give all three or none"])
        tls = cls(Pair(Path(certificate), Path(key)), Path(authority))
        tls.check()
        return tls

    def check(self) -> None:
        """Raises: InvalidConfig unless all files can be used."""
        self.pair.check()
        try:
            ssl.create_default_context(cafile=self.authority)
        except (OSError, ValueError):
            raise InvalidConfig([f"{self.authority}: holds no certificate of an authority"]) from None

    def version(self) -> tuple[int, ...]:
        """Changes when a file does."""
        return (*self.pair.version(), *_version(self.authority))

    def client(self) -> grpc.ChannelCredentials:
        """As the files are now: a channel keeps what it was opened with. Raises: InvalidConfig."""
        authority, key, certificate = self._checked()
        return grpc.ssl_channel_credentials(authority, key, certificate)

    def server(self) -> grpc.ServerCredentials:
        """Follows the files: whoever connects after a change meets the new certificate. Raises: InvalidConfig."""
        version = self.version()

        def newer() -> grpc.ServerCertificateConfiguration | None:
            nonlocal version
            found = self.version()
            if found == version:
                return None
            try:
                configuration = self._configuration()
            except InvalidConfig as error:
                log.error("the certificate stays as it was: %s", error)
                return None
            version = found
            log.info("a new certificate is in use: %s", self.pair.certificate)
            return configuration

        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            newer,  # type: ignore[arg-type]  # the stubs forget that None means unchanged
            require_client_authentication=True,
        )

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        authority, key, certificate = self._checked()
        return grpc.ssl_server_certificate_configuration([(key, certificate)], authority)

    def _checked(self) -> tuple[bytes, bytes, bytes]:
        """What was checked and nothing that was written since: gRPC ends the process when it is given half a file."""
        before = self._read()
        self.check()
        if self._read() != before:
            raise InvalidConfig([f"{self.pair.certificate}: is being written"])
        return before

    def _read(self) -> tuple[bytes, bytes, bytes]:
        try:
            return self.authority.read_bytes(), self.pair.key.read_bytes(), self.pair.certificate.read_bytes()
        except OSError as error:
            raise InvalidConfig([f"{error.filename}: cannot be read: {error.strerror}"]) from None


def _version(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_ino
