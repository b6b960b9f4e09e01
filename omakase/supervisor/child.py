"""One supervised process: started, started again when it dies, asked to stop, and in the end made to."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
_STEADY_S = 10.0
_LOG_BYTES = 10 << 20


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `is_ready` asks from outside; `fds` stay open in the process."""

    name: str
    module: str
    environ: Mapping[str, str]
    fds: Sequence[int] = ()
    is_ready: Callable[[], bool] = lambda: True
    arguments: Sequence[str] = ()


class Child:
    """A program and the process that runs it now. Its standard error goes to `logs/<name>.log`."""

    def __init__(self, program: Program, logs: Path) -> None:
        self.program = program
        self.restarts = 0
        self._log_path = logs / f"{program.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._restart_at: float | None = None
        self._is_wanted = False
        self._is_renewed = False  # was asked to end, to be started again at once
        self._grace_s = 0.0
        self._kill_at = float("inf")

    @property
    def pid(self) -> int:
        """Raises: ProcessLookupError while it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise ProcessLookupError(f"{self.program.name} does not run at the moment")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Runs, and has for longer than its next pause would be: what dies again and again does not, in between."""
        is_alive = self._process is not None and self._process.poll() is None
        return is_alive and time.monotonic() - self._started_at > self._pause_s

    @property
    def has_ended(self) -> bool:
        """Runs no more, and will not be started again."""
        return not self._is_wanted and (self._process is None or self._process.poll() is not None)

    def start(self) -> None:
        """Does nothing if it runs; if it is about to end, it is started again."""
        self._is_wanted = True
        if self._process is None or self._process.poll() is not None:
            self._spawn()

    def run_once(self) -> None:
        """Run to the end. Raises: ChildProcessError with the end of its log."""
        self._spawn()
        assert self._process is not None
        if self._process.wait() != 0:
            raise ChildProcessError(f"{self.program.name} ended with {self._process.returncode}:\n{self.log_tail()}")

    def keep(self) -> None:
        """Start the process again if it died, later each time it dies young; keep its log short. Call often."""
        if self._process is None:
            return
        self._cut_log()
        now = time.monotonic()
        if self._process.poll() is None:
            if now >= self._kill_at:
                self._kill()
            return
        if not self._is_wanted:
            return
        if self._is_renewed:
            self._spawn()
            return
        if self._restart_at is None:
            if now - self._started_at > _STEADY_S:
                self._pause_s = _FIRST_PAUSE_S
            log.warning("%s ended with %s, starting it again", self.program.name, self._process.returncode)
            self._restart_at = now + self._pause_s
            self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        elif now >= self._restart_at:
            self._restart_at = now + self._pause_s
            self._spawn()
            self.restarts += 1

    def renew(self, grace_s: float) -> None:
        """Ask it to end, and start it again when it has. Does not wait: `keep` does the rest."""
        if self._is_wanted and self._process is not None and self._process.poll() is None:
            self._is_renewed = True
            self._ask_to_end(grace_s)

    def dismiss(self, grace_s: float) -> None:
        """Ask it to end. Does not wait: `keep` kills it if it must."""
        self._is_wanted = False
        if self._process is not None and self._process.poll() is None:
            self._ask_to_end(grace_s)

    def stop(self, grace_s: float) -> None:
        """SIGTERM, wait for `grace_s`, SIGKILL. Does nothing if it does not run."""
        self._is_wanted = False
        if self._process is None or self._process.poll() is not None:
            return
        self._ask_to_end(grace_s)
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()

    def log_tail(self, lines: int = 20) -> str:
        """The end of what it wrote."""
        return "\n".join(self._log_path.read_text(errors="replace").splitlines()[-lines:])

    def _ask_to_end(self, grace_s: float) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._grace_s = grace_s
        self._kill_at = time.monotonic() + grace_s

    def _kill(self) -> None:
        assert self._process is not None
        log.error("%s did not stop within %g s and was killed", self.program.name, self._grace_s)
        self._process.kill()
        self._kill_at = float("inf")

    def _spawn(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OMAKASE_")}
        with self._log_path.open("ab") as sink:
            self._process = subprocess.Popen(
                # -P: a folder named `gateway` where the user happens to be is not our gateway.
                [sys.executable, "-P", "-m", self.program.module, *self.program.arguments],
                env={**inherited, "OPENBLAS_NUM_THREADS": "1", **self.program.environ},
                pass_fds=self.program.fds,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor, which stops them in order
            )
        self._started_at = time.monotonic()
        self._restart_at = None
        self._is_renewed = False
        self._kill_at = float("inf")

    def _cut_log(self) -> None:
        """Put a long log aside. The process goes on appending to the emptied file: it may run for months."""
        if self._log_path.exists() and self._log_path.stat().st_size > _LOG_BYTES:
            shutil.copyfile(self._log_path, self._log_path.with_suffix(".old.log"))
            os.truncate(self._log_path, 0)
