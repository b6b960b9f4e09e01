"""A gRPC server between a client and a counterpart, which fails calls by a script and hands on the others.

It stands where the clients look for the counterpart (`*_EMULATOR_HOST`), so what runs is the client's own transport,
with its retries and deadlines, in any process.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

_STREAMS = frozenset({"StreamingPull"})
_UNLIMITED = [("grpc.max_receive_message_length", -1)]
_RESERVED = ("grpc-", "user-agent", ":", "te", "content-type")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one call: it fails with `code`, or is never answered and ends by the client's own deadline.

    `is_done`: the server does it all the same. `change` then sees its answer, still encoded; without a `code` the
    client gets what that returns.
    """

    code: grpc.StatusCode | None = None
    is_done: bool = False
    change: Callable[[bytes], bytes] | None = None


def before(code: grpc.StatusCode) -> Fault:
    """The call fails and the server never heard of it."""
    return Fault(code)


def after(code: grpc.StatusCode, change: Callable[[bytes], bytes] | None = None) -> Fault:
    """The call fails although the server did it; its answer, which only `change` sees, is lost on the way."""
    return Fault(code, is_done=True, change=change)


def changed(change: Callable[[bytes], bytes]) -> Fault:
    """The call succeeds, with another answer than the server's."""
    return Fault(is_done=True, change=change)


SILENCE = Fault()  # nobody answers
PASSED = None  # nothing is wrong with this call


class Faults:
    """The script, and how often each method was called."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._scripts: dict[str, Iterator[Fault | None]] = {}
        self._lock = threading.Lock()

    def on(self, method: str, script: Iterable[Fault | None]) -> None:
        """The next calls of `method` (its bare name) meet these, one each; those after the last pass."""
        with self._lock:
            self._scripts[method] = iter(script)

    def due(self, method: str) -> Fault | None:
        with self._lock:
            self.calls[method] += 1
            return next(self._scripts.get(method, iter(())), PASSED)


@contextmanager
def faulty(address: str) -> Iterator[tuple[str, Faults]]:
    """Another address for the server at `address`, and the faults on the way to it."""
    faults = Faults()
    server = grpc.server(ThreadPoolExecutor(16), options=_UNLIMITED)
    with grpc.insecure_channel(address, _UNLIMITED) as channel:
        server.add_generic_rpc_handlers((_Hop(channel, faults),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}", faults
        finally:
            server.stop(0).wait()


class _Hop(grpc.GenericRpcHandler):
    """Hands on bytes: it needs to know no message."""

    def __init__(self, channel: grpc.Channel, faults: Faults) -> None:
        self._channel = channel
        self._faults = faults

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        method, name = details.method, details.method.rpartition("/")[2]
        if name in _STREAMS:
            return grpc.stream_stream_rpc_method_handler(
                lambda requests, context: self._stream(method, name, requests, context)
            )
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._call(method, name, request, context))

    def _call(self, method: str, name: str, request: bytes, context: Any) -> bytes:
        fault = self._faults.due(name)
        answer = b""
        if fault is PASSED or fault.is_done:
            with _own_errors(context):
                answer = self._channel.unary_unary(method)(
                    request, metadata=_metadata(context), timeout=context.time_remaining()
                )
        if fault is PASSED:
            return answer
        if fault.change is not None:
            answer = fault.change(answer)
        if fault.change is None or fault.code is not None:
            _fail(fault, context)
        return answer

    def _stream(self, method: str, name: str, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        if (fault := self._faults.due(name)) is not PASSED:
            _fail(fault, context)
        answers = self._channel.stream_stream(method)(requests, metadata=_metadata(context))
        context.add_callback(answers.cancel)
        with _own_errors(context):
            yield from answers


def _fail(fault: Fault, context: Any) -> None:
    if fault.code is not None:
        context.abort(fault.code, "a fault of the test's")
    over = threading.Event()
    if context.add_callback(over.set):
        over.wait()


@contextmanager
def _own_errors(context: Any) -> Iterator[None]:
    """The counterpart's own errors, handed on."""
    try:
        yield
    except grpc.RpcError as error:
        context.set_trailing_metadata(
            tuple((key, value) for key, value in error.trailing_metadata() or () if key.endswith("-bin"))
        )
        context.abort(error.code(), error.details())


def _metadata(context: Any) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in context.invocation_metadata() if not key.startswith(_RESERVED)]
