"""How a server leaves without dropping anybody: whoever it still has a connection with learns that the next answer is
the last, before the connection ends."""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from typing import Any

import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# For so long a connection that nobody uses is kept: who is busy asks again within it.
HOLD_S = 0.5
_POLL_S = 0.01
_LEAVING = b'{"title":"Service Unavailable","status":503,"detail":"draining"}'


class LeavingServer(uvicorn.Server):
    """Stops listening, answers what comes over the connections it has and closes each after its answer.

    A client that asks over a connection it has kept is answered, and told to close it; the next one it opens waits for
    whoever listens next, if somebody else holds the listening socket. Idle connections are closed after `HOLD_S`: a
    request that is sent in that very moment is lost, without a byte of an answer, and every client of HTTP sends it
    again over a new connection.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        connections = self.server_state.connections
        for connection in connections:
            _say_goodbye(connection)
        for _ in range(round(HOLD_S / _POLL_S)):
            if not connections:
                break
            await asyncio.sleep(_POLL_S)
        await super().shutdown()


class LastAnswer:
    """An app as it answers over a connection for the last time; it is not ready any more."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        if scope["type"] == "http" and scope["path"] == "/readyz":
            headers = {"Retry-After": "1"}
            unready = Response(_LEAVING, HTTPStatus.SERVICE_UNAVAILABLE, headers, "application/problem+json")
            await unready(scope, receive, closing)
        else:
            await self._app(scope, receive, closing)


def _say_goodbye(connection: Any) -> None:
    """The answer that is on its way is the last; if none is, the next one."""
    cycle = connection.cycle
    if cycle is not None and not cycle.response_complete:
        cycle.keep_alive = False
    connection.app = LastAnswer(connection.app)
