"""Gateway, recommenders, tracking, trainer and batch jobs as processes over one data directory."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from omakase.adapters import open_event_log, open_spool_reader
from omakase.adapters.local.files import disk_errors
from omakase.config import load_product
from omakase.core.errors import Unavailable
from omakase.deployment import Deployment
from omakase.keys import create_keys
from omakase.serving.http import listen
from omakase.settings import Settings
from omakase.supervisor.child import Child, Program

log = logging.getLogger(__name__)

# Who reads the bus. They are known from the start, so that nothing is trimmed before each of them has read it.
CONSUMERS = ("trainer", "warehouse")
_GRACE_S = 15.0
_WATCH_S = 0.05


class Supervisor:
    """Runs a deployment; a context manager.

    It owns the listening sockets, so that connections made while a process is away wait for the next one. When it
    dies itself, its processes notice by a pipe and stop. Each process may die at any time: it is started again.
    """

    def __init__(self, deployment: Deployment) -> None:
        """Raises: InvalidConfig; Unavailable if a port or the data directory is taken."""
        self.deployment = deployment
        self.product = load_product(deployment.config)
        root = deployment.root
        with ExitStack() as held, disk_errors(f"use the data directory {root}"):
            self._http = held.enter_context(listen(deployment.host, deployment.http_port))
            self._tracking = held.enter_context(listen(deployment.host, deployment.tracking_port))
            self.gateway_url, self.tracking_url = _url(self._http), _url(self._tracking)
            (root / "logs").mkdir(parents=True, exist_ok=True)
            (root / "batch").mkdir(exist_ok=True)
            held.enter_context(_lock(root))
            if not deployment.keys.exists():
                create_keys(deployment.keys)
            bus = open_event_log(deployment.uris.bus)
            for consumer in CONSUMERS:
                bus.acknowledge(consumer, 0)
            self._runtime = Path(
                held.enter_context(tempfile.TemporaryDirectory(prefix="omakase-", ignore_cleanup_errors=True))
            )
            self._lifeline, lifeline_end = os.pipe()
            for fd in (self._lifeline, lifeline_end):
                held.callback(os.close, fd)
            self._held = held.pop_all()
        self._children = {program.name: Child(program, root / "logs") for program in self._programs()}
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        for child in self._children.values():
            child.start()
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def processes(self) -> dict[str, Child]:
        return self._children

    def wait_ready(self, timeout_s: float, stopping: threading.Event | None = None) -> None:
        """Return when every process serves, or when `stopping` is set.

        Raises: Unavailable, with the end of the log of one that does not serve.
        """
        deadline = time.monotonic() + timeout_s
        stopping = stopping or threading.Event()
        while (waiting := self._first_unready()) is not None:
            if time.monotonic() >= deadline:
                name = waiting.program.name
                raise Unavailable(
                    f"{name} is not ready after {timeout_s:g} s; its log ends with:\n{waiting.log_tail()}"
                )
            if stopping.wait(_WATCH_S):
                return

    def stop(self) -> None:
        """Stop in the order of the data's way, each with time to finish. What is open goes on at the next start."""
        self._stop_all()
        self._held.close()

    def drain(self) -> None:
        """Stop taking requests and bring everything to its end: parked events, open sessions, reward windows.

        For the end of a run: what comes for these deliveries later finds their windows closed.
        Raises: ChildProcessError if a step fails, Unavailable if delivery records are still in a spool; nothing is lost
        then.
        """
        self._stop_all()
        deployment, logs = self.deployment, self.deployment.root / "logs"
        self._refuse_unshipped()
        steps: tuple[tuple[str, Settings], ...] = (
            ("tracking", deployment.tracking(self._address("tracking"), None, None)),
            ("dataflow", deployment.trainer(None)),
            ("batch", deployment.batch(None)),
        )
        for module, settings in steps:
            Child(Program(f"drain-{module}", module, settings.to_environ(), arguments=["--drain"]), logs).run_once()

    def _stop_all(self) -> None:
        self._stopping.set()
        self._watcher.join()
        for sock in (self._http, self._tracking):
            sock.close()  # the last holder is the process itself: whoever connects after it is told at once
        for child in self._children.values():
            child.stop(_GRACE_S)

    def _refuse_unshipped(self) -> None:
        """Events whose records lie in a spool must not be given up."""
        names = ["gateway", *(f"recommender-{name}" for name in self.deployment.local_recommenders(self.product))]
        for name in names:
            if open_spool_reader(self.deployment.spool(name)).read(1):
                raise Unavailable(f"{name} has delivery records that tracking never took: start again before you drain")

    def _first_unready(self) -> Child | None:
        """One that does not run or does not serve. Those that do not run come first: they are the cause."""
        children = self._children.values()
        dead = (child for child in children if not child.is_running)
        unready = (child for child in children if not child.program.is_ready())
        return next(dead, None) or next(unready, None)

    def _programs(self) -> list[Program]:
        """In the order of the data's way: that is the order in which they stop."""
        deployment, tracking, line = self.deployment, self._address("tracking"), self._lifeline
        # Numbered, not named: the path of a socket has at most 103 bytes on macOS.
        names = deployment.local_recommenders(self.product)
        local = {name: self._address(f"recommender-{number}") for number, name in enumerate(names)}
        http_fd, tracking_fd = self._http.fileno(), self._tracking.fileno()
        gateway = deployment.gateway(local, tracking, http_fd, line)
        return [
            _program("gateway", "gateway", gateway, (http_fd, line), lambda: _serves(self.gateway_url)),
            *(
                _program(
                    f"recommender-{name}",
                    "recommender",
                    deployment.recommender(name, address, tracking, line),
                    (line,),
                    partial(_answers, address),
                )
                for name, address in local.items()
            ),
            _program(
                "tracking",
                "tracking",
                deployment.tracking(tracking, tracking_fd, line),
                (tracking_fd, line),
                lambda: _serves(self.tracking_url) and _answers(tracking),
            ),
            _program("trainer", "dataflow", deployment.trainer(line), (line,)),
            _program("batch", "batch", deployment.batch(line), (line,)),
        ]

    def _address(self, name: str) -> str:
        return f"unix:{self._runtime / name}.sock"

    def _watch(self) -> None:
        while not self._stopping.wait(_WATCH_S):
            for child in self._children.values():
                try:
                    child.keep()
                except OSError as error:  # no memory, no descriptors, no room: it is tried again, with the others
                    log.error("cannot look after %s: %s", child.program.name, error)


def _program(
    name: str, module: str, settings: Settings, fds: Sequence[int], is_ready: Callable[[], bool] = lambda: True
) -> Program:
    return Program(name, module, settings.to_environ(), fds, is_ready)


def _lock(root: Path) -> TextIO:
    lock = (root / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise Unavailable(f"another omakase runs on {root}: stop it, or choose another --data-dir") from None
    return lock


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _serves(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=1.0) as answer:  # noqa: S310  our own address
            return bool(answer.status == 200)
    except OSError:
        return False


def _answers(address: str) -> bool:
    try:
        with grpc.insecure_channel(address) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1.0)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
