"""gRPC between the services: one table of errors, health and reflection on every server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from omakase.core.errors import Corrupt, InvalidInput, NotFound, OmakaseError, Unavailable
from omakase.serving.tls import MutualTls

Code = grpc.StatusCode
Options: TypeAlias = Sequence[tuple[str, Any]]
Request = TypeVar("Request")
Reply = TypeVar("Reply")

# How an error of the core crosses the wire, and what it becomes on the other side.
CODES: tuple[tuple[type[OmakaseError], grpc.StatusCode], ...] = (
    (NotFound, Code.FAILED_PRECONDITION),
    (InvalidInput, Code.INVALID_ARGUMENT),
    (Corrupt, Code.INVALID_ARGUMENT),
    (Unavailable, Code.UNAVAILABLE),
    (OmakaseError, Code.INTERNAL),
)


# What a health check asks for to learn whether a process lives. One that is starting or draining does.
LIVE = "live"


class Health:
    """A server's health, which tells the truth: NOT_SERVING until `serving` is called and again once it drains.

    Asked for the service `knowing(digest)` it says SERVING once it has served the configuration of that digest; asked
    for `LIVE`, that the loop turns, serving or not.
    """

    def __init__(self) -> None:
        self._servicer = health_aio.HealthServicer()

    def add_to(self, server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set(self, *, is_serving: bool) -> None:
        states = health_pb2.HealthCheckResponse
        await self._servicer.set(LIVE, states.SERVING)
        await self._servicer.set("", states.SERVING if is_serving else states.NOT_SERVING)

    async def know(self, digest: str) -> None:
        """Say that this configuration is served."""
        await self._servicer.set(knowing(digest), health_pb2.HealthCheckResponse.SERVING)


def knowing(digest: str) -> str:
    """What a health check asks for to learn whether a server knows a configuration."""
    return f"configuration/{digest}"


def new_server(
    services: Sequence[str], health: Health, max_message_bytes: int = 16 << 20, connection_s: float | None = None
) -> grpc.aio.Server:
    """A server with health and reflection for `services` (full protobuf names).

    A connection older than `connection_s` is ended after what is under way on it: whoever opens another looks the name
    up again, and so finds replicas that are new.
    """
    options: list[tuple[str, int]] = [("grpc.max_receive_message_length", max_message_bytes), ("grpc.so_reuseport", 0)]
    if connection_s is not None:
        options.append(("grpc.max_connection_age_ms", round(connection_s * 1000)))
    server = grpc.aio.server(options=options)
    health.add_to(server)
    reflection.enable_server_reflection((*services, reflection.SERVICE_NAME, "grpc.health.v1.Health"), server)
    return server


def bind(server: grpc.aio.Server, address: str, tls: MutualTls | None) -> int:
    """Listen at `address`: with `tls` only for those who show a certificate. Returns the port."""
    return server.add_insecure_port(address) if tls is None else server.add_secure_port(address, tls.server())


def new_channel(target: str, tls: MutualTls | None, options: Options = ()) -> grpc.aio.Channel:
    """A channel to another service."""
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, tls.client(), options=options)


def new_blocking_channel(target: str, tls: MutualTls | None, options: Options = ()) -> grpc.Channel:
    """The same, for threads."""
    if tls is None:
        return grpc.insecure_channel(target, options=options)
    return grpc.secure_channel(target, tls.client(), options=options)


async def answering(context: grpc.aio.ServicerContext[Request, Reply], work: Callable[[], Awaitable[Reply]]) -> Reply:
    """Run a handler; an error of the core ends the call with its code and its message."""
    try:
        return await work()
    except OmakaseError as error:
        await context.abort(code_of(error), str(error))
        raise AssertionError("abort does not return") from error


def code_of(error: OmakaseError) -> grpc.StatusCode:
    """The code that an error crosses the wire as."""
    return next(code for kind, code in CODES if isinstance(error, kind))


def error_of(call: grpc.RpcError) -> OmakaseError:
    """The error of the core that a failed call stands for: InvalidInput, NotFound or Unavailable."""
    return error_for(call.code(), call.details())


def error_for(code: grpc.StatusCode, message: str | None) -> OmakaseError:
    """As `error_of`, for a code that came in a message."""
    if code is Code.INVALID_ARGUMENT:
        return InvalidInput(message)
    if code is Code.FAILED_PRECONDITION:
        return NotFound(message)
    return Unavailable(f"{code.name}: {message}")
