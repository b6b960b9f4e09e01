"""Connections that hold a place and ask nothing: closed once they are overdue, and never more than there is room for.

uvicorn by itself waits for a request as long as its client likes, and keeps as long a head as it sends.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import ssl
import sys
from functools import partial
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from omakase.core.errors import InvalidConfig
from omakase.serving.leaving import LeavingServer
from omakase.serving.refusals import Refusals
from omakase.serving.tls import Pair

log = logging.getLogger(__name__)

# What a connection may send without an end to a head, or between two pieces of a body.
MAX_HEAD_BYTES = 65_536
# A body may take longer than a head, but not for ever: so many bytes buy a second.
BODY_BYTES_PER_S = 10_000
# What comes of a body after its answer is thrown away, so that the client reads the answer; but no more than this.
_MAX_VAIN_BYTES = 16 << 20
# Who reads its answer slowly is cut off in the middle of it only after so many times as long.
_ABORT_AFTER = 3
_TICKS_PER_SWEEP = 10  # of uvicorn's loop, 0.1 s each
_OTHER_FILES = 500

# uvicorn warns of every malformed request; `Refusals` tells of them in fewer lines.
_quiet = logging.getLogger("uvicorn.error.connection")
_quiet.setLevel(logging.ERROR)


class Connection(HttpToolsProtocol):
    """One connection. Whether it waits for its client, and for how long, is looked at from outside, by `expire`.

    Cost: a third of a microsecond for a request that comes in one piece; no timers.
    """

    def __init__(self, max_connections: int, refusals: Refusals, **given: Any) -> None:
        super().__init__(**given)
        self.logger = _quiet
        self._max_connections = max_connections
        self._refusals = refusals
        self._unfinished_bytes = 0  # of a request that is not complete, or since its body grew
        self._body_bytes = 0
        self._body: tuple[object, int] = (None, 0)
        # What it waits for, and since when. It holds on to the object: another one never has its identity.
        self._awaited: tuple[str, object] = ("", None)
        self._awaited_since = 0.0
        self._data = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            self._refuse(503, "connections", f"{self._max_connections} connections are open already")

    def data_received(self, data: bytes) -> None:
        self._data = data
        super().data_received(data)
        self._data = b""  # connections are kept by the thousand
        cycle = self.cycle
        if cycle is not None and cycle.scope is self.scope and not cycle.more_body:
            self._unfinished_bytes = 0
        else:
            self._received_part(len(data))

    def _received_part(self, size: int) -> None:
        """Part of a head, of a body, or of what frames it came, and not the end."""
        has_head = self._has_head()
        if has_head and not self.cycle.response_complete:
            body = (self.cycle.body, len(self.cycle.body))
            if body[0] is not self._body[0] or body[1] != self._body[1]:
                self._body, self._unfinished_bytes = body, 0
                self._body_bytes += size
                return
        self._unfinished_bytes += size
        most = _MAX_VAIN_BYTES if has_head and self.cycle.response_complete else MAX_HEAD_BYTES
        if self._unfinished_bytes > most and not self.transport.is_closing():
            self._refuse(431, "head_too_large", f"a head of more than {MAX_HEAD_BYTES} bytes, or no end of a body")

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "malformed", "what was sent is not HTTP/1.1")

    def on_headers_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """A request that asks for another protocol, as Java's client does first, is read as if it had not.

        The parser has stopped behind its head, and takes no body. Another one gets the head without the wish.
        """
        stopped, method = sys.exc_info()[1], self.parser.get_method()
        if not isinstance(stopped, httptools.HttpParserUpgrade) or method == b"CONNECT":
            self.send_400_response("")
            return
        version = self.parser.get_http_version().encode()
        fields = [name + b": " + value + b"\r\n" for name, value in self.headers if name != b"upgrade"]
        head = [method, b" ", self.url, b" HTTP/", version, b"\r\n", *fields, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self._data = b"".join(head) + self._data[stopped.args[0] :]
        super().data_received(self._data)

    def expire(self, now: float, timeout_s: float) -> None:
        """End what has kept us waiting for `timeout_s`. To be called every second or so."""
        awaited = self._awaits()
        if awaited[0] != self._awaited[0] or awaited[1] is not self._awaited[1]:
            self._awaited, self._awaited_since = awaited, now
        elif awaited[0] == "body":
            self._awaited_since = min(now, self._awaited_since + self._body_bytes / BODY_BYTES_PER_S)
        self._body_bytes = 0
        waited_s = now - self._awaited_since
        if waited_s < timeout_s or awaited[0] == "nothing":
            return
        if awaited[0] == "reading":
            if waited_s >= _ABORT_AFTER * timeout_s:
                self._refusals.add("slow", "an answer that was not read in time")
                self.transport.abort()
        elif awaited[0] == "body" or (awaited[0] == "head" and self.scope is not None):
            self._refuse(408, "slow", f"a request that was not sent within {timeout_s:g} s")
        else:
            self.transport.close()

    def _awaits(self) -> tuple[str, object]:
        """What the client is to do now: two calls give the same as long as it has not done it."""
        if self.transport.is_closing() or self.flow.write_paused:
            return "reading", _same(self.transport.get_write_buffer_size(), self._awaited[1])
        if self.cycle is None:
            return "head", self.scope
        if self.cycle.response_complete:
            return ("request", self.cycle) if self._has_head() else ("head", self.scope)
        is_ours = not self._has_head() or not self.cycle.more_body or self.flow.read_paused
        return ("nothing", None) if is_ours else ("body", self.cycle)

    def _has_head(self) -> bool:
        """Is the head complete of the request that came last?"""
        return self.cycle is not None and self.cycle.scope is self.scope

    def _refuse(self, status: int, reason: str, detail: str) -> None:
        self._refusals.add(reason, detail)
        is_between = self.cycle is None or self.cycle.response_complete
        if not self.cycle.response_started if self._has_head() else is_between:  # else it has its answer already
            lines = [name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers]
            ending = b"content-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(b"".join([STATUS_LINE[status], *lines, ending]))
        self.transport.close()


def _same(number: int, earlier: object) -> object:
    """The earlier object if it is the same number."""
    return earlier if earlier == number else number


class GuardedServer(LeavingServer):
    """A server that looks over its connections, and its certificate, once a second."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        request_timeout_s: float,
        max_connections: int,
        refusals: Refusals,
        certificate: Pair | None = None,
    ) -> None:
        """Raises: InvalidConfig for a certificate that cannot be used."""
        if certificate is not None:
            certificate.check()
        config.http = partial(Connection, max_connections, refusals)  # type: ignore[assignment]  # anything that makes one
        super().__init__(config)
        self._request_timeout_s = request_timeout_s
        self._certificate = certificate
        self._version = certificate.version() if certificate else ()
        _make_room(max_connections + _OTHER_FILES)

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_SWEEP == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.expire(now, self._request_timeout_s)
            if self._certificate is not None and self.config.ssl is not None:
                self._renew(self._certificate, self.config.ssl)
        return await super().on_tick(counter)

    def _renew(self, certificate: Pair, context: ssl.SSLContext) -> None:
        """Whoever connects after the files have changed meets the new certificate."""
        version = certificate.version()
        if version == self._version:
            return
        self._version = version
        try:
            certificate.check()  # apart from the context in use, which a failure would leave without a key
            certificate.load_into(context)
            log.info("a new certificate is in use: %s", certificate.certificate)
        except InvalidConfig as error:
            log.error("the certificate stays as it was: %s", error)


def _make_room(files: int) -> None:
    """Let this process have so many files open, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= files:
        return
    most = files if hard == resource.RLIM_INFINITY else min(files, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < files:
        log.warning("only %d files may be open: fewer connections than configured", most)
