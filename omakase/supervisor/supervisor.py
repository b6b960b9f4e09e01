"""Gateway, recommenders, tracking, trainer and batch jobs as processes over one data directory."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from omakase.adapters import open_event_log, open_spool_reader
from omakase.adapters.local.files import disk_errors, write_whole
from omakase.config import Product
from omakase.core.errors import Unavailable
from omakase.deployment import Deployment
from omakase.keys import create_keys
from omakase.serving.configuration import Configuration, Revision
from omakase.serving.http import listen
from omakase.settings import Settings
from omakase.supervisor.child import Child, Program
from omakase.supervisor.programs import STARTED_AGAIN, Port, Ports, programs_of, tracking_socket

log = logging.getLogger(__name__)

# Who reads the bus. They are known from the start, so that nothing is trimmed before each of them has read it.
CONSUMERS = ("trainer", "warehouse")
_GRACE_S = 15.0
_WATCH_S = 0.05
# A recommender that is not named any more runs on for the gateway's grace, and so long: until nobody asks it.
_LEAVING_S = 10.0


class Supervisor:
    """Runs a deployment; a context manager.

    It owns the listening sockets, so that connections made while a process is away wait for the next one. When it
    dies itself, its processes notice by a pipe and stop. Each process may die at any time: it is started again.
    """

    def __init__(self, deployment: Deployment) -> None:
        """Raises: InvalidConfig; Unavailable if a port or the data directory is taken."""
        self.deployment = deployment
        self._configuration = Configuration.of(deployment.config, deployment.config_poll_s)
        self._served = self._configuration.newest
        root = deployment.root
        with ExitStack() as held, disk_errors(f"use the data directory {root}"):
            self._http = held.enter_context(listen(deployment.host, deployment.http_port))
            self._tracking = held.enter_context(listen(deployment.host, deployment.tracking_port))
            scheme = "https" if "tls_certificate" in deployment.edge else "http"
            self._ports = Ports(_port(scheme, self._http), _port(scheme, self._tracking))
            (root / "logs").mkdir(parents=True, exist_ok=True)
            (root / "batch").mkdir(exist_ok=True)
            held.enter_context(_lock(root))
            deployment.settle(self._served.product.adapters.addresses())
            self._keep_configuration()
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
        self._leaving: dict[str, float] = {}
        self._ran = set(self._children)
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
    def product(self) -> Product:
        """As it is configured now."""
        return self._served.product

    @property
    def gateway_url(self) -> str:
        return self._ports.gateway.url

    @property
    def tracking_url(self) -> str:
        return self._ports.tracking.url

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
            ("tracking", deployment.tracking(tracking_socket(str(self._runtime)), None, None)),
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
        for name in sorted(name for name in self._ran if name == "gateway" or name.startswith("recommender-")):
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
        return programs_of(
            self.deployment, self.product, self._ports, sockets=str(self._runtime), lifeline=self._lifeline
        )

    def _watch(self) -> None:
        while not self._stopping.wait(_WATCH_S):
            self._follow()
            for child in self._children.values():
                try:
                    child.keep()
                except OSError as error:  # no memory, no descriptors, no room: it is tried again, with the others
                    log.error("cannot look after %s: %s", child.program.name, error)

    def _follow(self) -> None:
        """Start what a new configuration adds, start again who uses what it changes, end what nobody asks any more."""
        newest = self._configuration.look()
        if newest is not self._served:
            try:
                self._take(newest)
            except OSError as error:  # no memory, no descriptors, no room: it is tried again
                self._configuration.postpone(error)
        now = time.monotonic()
        for name in [name for name, leaves_at in self._leaving.items() if now >= leaves_at]:
            self._children[name].dismiss(_GRACE_S)
            del self._leaving[name]
        ended = [name for name, child in self._children.items() if child.has_ended]
        if ended:
            self._children = {name: child for name, child in self._children.items() if name not in ended}

    def _take(self, newest: Revision) -> None:
        before, self._served = self._served, newest
        try:
            self._keep_configuration()
            programs = {program.name: program for program in self._programs()}
            gone = {name: child for name, child in self._children.items() if name not in programs}
            logs = self.deployment.root / "logs"
            wanted = {name: self._children.get(name) or Child(one, logs) for name, one in programs.items()}
            first, *others = wanted.items()
            self._children = {**dict([first]), **gone, **dict(others)}  # who asks ends before who is asked
            self._ran |= wanted.keys()
            for child in wanted.values():
                child.start()
        except OSError:
            self._served = before
            raise
        grace_s = float(self._children["gateway"].program.environ["OMAKASE_CONFIG_GRACE_S"])
        leaves_at = time.monotonic() + grace_s + _LEAVING_S
        self._leaving = {name: self._leaving.get(name, leaves_at) for name in gone}
        for name, uses in STARTED_AGAIN.items():
            if uses(newest.product) != uses(before.product):
                log.info("%s starts again with configuration %s", name, newest.digest)
                self._children[name].renew(_GRACE_S)
        self._configuration.serve(newest)

    def _keep_configuration(self) -> None:
        """For a process that has to be started while the file is wrong."""
        write_whole(self.deployment.config_before, self._served.text)


def _lock(root: Path) -> TextIO:
    lock = (root / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise Unavailable(f"another omakase runs on {root}: stop it, or choose another --data-dir") from None
    return lock


def _port(scheme: str, sock: socket.socket) -> Port:
    host, port = sock.getsockname()[:2]
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    return Port(sock.fileno(), url)
