"""Real counterparts of the cloud adapters on this machine: started when a test first asks, shared by a whole run.

The process that runs pytest owns a directory that its workers find by an environment variable; who needs a counterpart
first starts it under a lock, beside a keeper that ends it when the owner is gone, however that went.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

RUN = "COUNTERPARTS_RUN"  # the run's directory
OWNER = "COUNTERPARTS_OWNER"  # the pid of who runs the tests
PROJECT = "omakase-dev"  # that of examples/gcp-emulators.yaml: bigquery-emulator knows one
_START_S = 90.0
# About two thirds of the CPU to start: the emulators in Java live for minutes, and what C2 would compile never pays.
_JAVA = {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx512m"}


@dataclass(frozen=True, slots=True)
class Counterpart:
    """A server that speaks what a cloud service speaks. `command` is None where it cannot be found here.

    `variable` is where Google's clients look for it, and where a test may name one that runs already.
    """

    name: str
    variable: str
    how: str
    command: Callable[[int, Path], Sequence[str] | None]
    prefix: str = ""

    @property
    def is_here(self) -> bool:
        return self.variable in os.environ or self.command(0, Path()) is not None

    def address(self) -> str:
        """`host:port`, with the scheme where the clients want it. Skips the test if it cannot be had."""
        if self.variable not in os.environ:
            if self.command(0, Path()) is None:
                pytest.skip(f"{self.name} is not here: {self.how}")
            os.environ[self.variable] = self.prefix + self._shared()
        return os.environ[self.variable]

    def _shared(self) -> str:
        directory = Path(os.environ[RUN]) / self.variable.lower()
        directory.mkdir(exist_ok=True)
        with (directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            noted = directory / "address"
            if not noted.exists():
                noted.write_text(self.start(directory))
            return noted.read_text()

    def start(self, directory: Path, port: int = 0) -> str:
        """Start one that nobody shares, on `port` or any. Returns host:port. Its pid is in `directory`/pid.

        Raises: TimeoutError with the end of its log.
        """
        port = port or free_port()
        command = self.command(port, directory)
        assert command is not None
        log = directory / "log"
        with log.open("ab") as sink:
            keeper = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("keeper.py")), os.environ[OWNER], *command],
                cwd=directory,
                env={**_JAVA, **os.environ},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        (directory / "pid").write_text(str(keeper.pid))
        deadline = time.monotonic() + _START_S
        while not _answers(port):
            if time.monotonic() > deadline or keeper.poll() is not None:
                raise TimeoutError(f"{self.name} does not answer:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        keeper.returncode = 0  # it may outlive this process: else Python warns of a child that was not waited for
        return f"127.0.0.1:{port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def _found(name: str) -> str | None:
    """A program on the PATH, or where `go install` puts it."""
    beside = [Path(os.environ.get("GOBIN", Path.home() / "go" / "bin")) / name]
    return shutil.which(name) or next((str(path) for path in beside if path.exists()), None)


def _gcloud(*names: str) -> Path | None:
    """A file of an emulator that came with the gcloud SDK."""
    gcloud = shutil.which("gcloud")
    if gcloud is None or shutil.which("java") is None:
        return None
    path = Path(gcloud).resolve().parents[1].joinpath("platform", *names)
    return path if path.exists() else None


def _pubsub(port: int, _: Path) -> Sequence[str] | None:
    emulator = _gcloud("pubsub-emulator", "bin", "cloud-pubsub-emulator")
    if emulator is not None:
        return [str(emulator), "--host=127.0.0.1", f"--port={port}"]
    stand_in = _found("omakase-pstest")
    return None if stand_in is None else [stand_in, f"127.0.0.1:{port}"]


def _datastore(port: int, directory: Path) -> Sequence[str] | None:
    emulator = _gcloud("cloud-datastore-emulator", "cloud_datastore_emulator")
    if emulator is None:
        return None
    options = ["--host=127.0.0.1", f"--port={port}", "--consistency=1.0", "--store_on_disk=false", "--testing"]
    return [str(emulator), "start", *options, str(directory / "data")]


def _gcs(port: int, _: Path) -> Sequence[str] | None:
    server = _found("fake-gcs-server")
    if server is None:
        return None
    options = ["-scheme=http", "-host=127.0.0.1", f"-port={port}", "-backend=memory"]
    return [server, *options, f"-public-host=127.0.0.1:{port}", f"-external-url=http://127.0.0.1:{port}"]


def _bigquery(port: int, directory: Path) -> Sequence[str] | None:
    emulator = _found("bigquery-emulator")
    if emulator is None:
        return None
    grpc_port = free_port() if port else 0
    return [emulator, f"--project={PROJECT}", f"--port={port}", f"--grpc-port={grpc_port}", "--host=127.0.0.1"]


def _redis(port: int, directory: Path) -> Sequence[str] | None:
    server = _found("redis-server")
    if server is None:
        return None
    kept = ["--dir", str(directory), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    return [server, "--bind", "127.0.0.1", "--port", str(port), *kept]


_SDK = "gcloud components install {0} (needs Java), or tests/counterparts/install.sh"
PUBSUB = Counterpart("Google's Pub/Sub emulator", "PUBSUB_EMULATOR_HOST", _SDK.format("pubsub-emulator"), _pubsub)
DATASTORE = Counterpart(
    "Google's Datastore emulator",
    "DATASTORE_EMULATOR_HOST",
    "gcloud components install cloud-datastore-emulator (needs Java)",
    _datastore,
)
GCS = Counterpart(
    "fake-gcs-server", "STORAGE_EMULATOR_HOST", "tests/counterparts/install.sh (needs Go)", _gcs, "http://"
)
BIGQUERY = Counterpart(
    "bigquery-emulator", "BIGQUERY_EMULATOR_HOST", "tests/counterparts/install.sh (needs Go)", _bigquery, "http://"
)
REDIS = Counterpart("redis-server", "REDIS_EMULATOR_HOST", "apt-get install redis-server", _redis)
ALL = (PUBSUB, GCS, BIGQUERY, DATASTORE, REDIS)
