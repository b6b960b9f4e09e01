"""From a service's spool to tracking, off the hot path."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Protocol

import grpc

from omakase.core.errors import InvalidInput, OmakaseError
from omakase.serving.refused import Refused
from omakase.serving.rpc import error_of
from omakase.v1 import tracking_pb2, tracking_pb2_grpc

log = logging.getLogger(__name__)

_BATCH = 500
_IDLE_S = 0.02
_LONGEST_PAUSE_S = 2.0
_DEADLINE_S = 5.0
# gRPC's own pauses between attempts to connect grow to two minutes; tracking is away for seconds.
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class Spooled(Protocol):
    """The reading side of a spool: records in order, until they are committed."""

    def read(self, limit: int) -> list[bytes]: ...

    def commit(self) -> None: ...


class Shipper:
    """A thread that sends what was spooled and commits what tracking has taken.

    Guarantees: at least once, in order; tracking keeps the first of each. A record that tracking cannot read, or that
    is too large for it, is set aside in `refused` with an error in the log, so that it neither blocks the others nor
    vanishes.
    """

    def __init__(self, spool: Spooled, target: str, refused: Path) -> None:
        self._spool = spool
        self._target = target
        self._refused = Refused(refused)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shipper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, flush_s: float) -> None:
        """Ship what is left for at most `flush_s`; the rest stays in the spool for the next start."""
        self._stopping.set()
        self._thread.join(flush_s)

    def _run(self) -> None:
        with grpc.insecure_channel(self._target, options=_OPTIONS) as channel:
            stub = tracking_pb2_grpc.TrackingStub(channel)
            pause_s = _IDLE_S
            while True:
                try:
                    shipped = self._ship(stub)
                    pause_s = _IDLE_S
                except (grpc.RpcError, OmakaseError, OSError) as error:  # OSError: there is no room to set aside
                    log.warning("delivery records wait in the spool: %s", error)
                    shipped, pause_s = 0, min(pause_s * 2, _LONGEST_PAUSE_S)
                is_empty = not shipped and pause_s == _IDLE_S
                if is_empty and self._stopping.is_set():
                    return
                if not shipped:
                    time.sleep(pause_s)

    def _ship(self, stub: tracking_pb2_grpc.TrackingStub) -> int:
        records = self._spool.read(_BATCH)
        if records:
            self._send(stub, records)
            self._spool.commit()
        return len(records)

    def _send(self, stub: tracking_pb2_grpc.TrackingStub, records: list[bytes]) -> None:
        try:
            stub.RecordSlates(tracking_pb2.RecordSlatesRequest(slates=records), timeout=_DEADLINE_S)
        except grpc.RpcError as call:
            error = error_of(call)
            # A full batch of large slates is more than one message may hold.
            is_too_large = call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            if not is_too_large and not isinstance(error, InvalidInput):
                raise error from call
            if len(records) == 1:
                self._set_aside(records[0], error)
                return
            half = len(records) // 2
            self._send(stub, records[:half])
            self._send(stub, records[half:])

    def _set_aside(self, record: bytes, error: OmakaseError) -> None:
        log.error("tracking refused a delivery record, kept in %s: %s", self._refused.path, error)
        self._refused.add(record)
