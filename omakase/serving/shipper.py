"""From a service's spool to tracking, off the hot path."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Protocol

import grpc

from omakase.core.errors import InvalidConfig, InvalidInput, OmakaseError
from omakase.serving.refused import Refused
from omakase.serving.rpc import error_of, new_blocking_channel
from omakase.serving.tls import MutualTls
from omakase.v1 import tracking_pb2, tracking_pb2_grpc

log = logging.getLogger(__name__)

_BATCH = 500
# Records gather for so long, or to a full batch: sent one by one they would cost a call each, here and in tracking. An
# event that overtakes its record by this waits for it there.
_GATHER_S = 0.1
_RETRY_S = 0.02
_LONGEST_PAUSE_S = 2.0
_DEADLINE_S = 5.0
# gRPC's own pauses between attempts to connect grow to two minutes; tracking is away for seconds.
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Of a name with several addresses each is sent to in turn.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
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

    def __init__(self, spool: Spooled, target: str, refused: Path, tls: MutualTls | None = None) -> None:
        self._spool = spool
        self._target = target
        self._tls = tls
        self._refused = Refused(refused)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shipper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, flush_s: float) -> None:
        """Ship what is left for at most `flush_s`; the log says if the rest stays in the spool for the next start."""
        self._stopping.set()
        self._thread.join(flush_s)
        if self._thread.is_alive():
            log.error("delivery records are left in the spool: tracking did not take them within %g s", flush_s)

    def _run(self) -> None:
        is_done = False
        while not is_done:
            version = self._tls.version() if self._tls else ()
            try:
                channel = new_blocking_channel(self._target, self._tls, _OPTIONS)
            except InvalidConfig as error:  # a certificate without its key, while they are replaced
                log.warning("delivery records wait in the spool: %s", error)
                is_done = self._stopping.wait(_LONGEST_PAUSE_S)
                continue
            with channel:
                is_done = self._ship_over(channel, version)

    def _ship_over(self, channel: grpc.Channel, version: tuple[int, ...]) -> bool:
        """Ship until it is time to stop. False: the certificate has changed, and the next channel shall show it."""
        stub = tracking_pb2_grpc.TrackingStub(channel)
        retry_s = _RETRY_S
        while self._tls is None or self._tls.version() == version:
            is_last = self._stopping.is_set()  # asked before reading: what was spooled before it is read below
            try:
                shipped = self._ship(stub)
            except (grpc.RpcError, OmakaseError, OSError) as error:  # OSError: there is no room to set aside
                log.warning("delivery records wait in the spool: %s", error)
                retry_s = min(retry_s * 2, _LONGEST_PAUSE_S)
                time.sleep(retry_s)
                continue
            retry_s = _RETRY_S
            if is_last and not shipped:
                return True
            if shipped < _BATCH:
                self._stopping.wait(_GATHER_S)
        return False

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
