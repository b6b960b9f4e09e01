"""The shoppers' process, seen from the demo."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from omakase.demo.progress import Progress


class ShopperProcess:
    """Starts the shoppers and remembers the last thing they said.

    They run in a session of their own, so Ctrl-C on the terminal reaches only the demo, which then asks them to finish.
    Used as a context; on leaving it nobody is left running.
    """

    def __init__(self, gateway_url: str, tracking_url: str, seed: int, seconds: float, log: Path) -> None:
        self._command = [
            *(sys.executable, "-m", "omakase.demo.shoppers", "--gateway", gateway_url, "--tracking", tracking_url),
            *("--seed", str(seed), "--seconds", str(seconds)),
        ]
        self._log = log
        self._progress = Progress()

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        self._reader = threading.Thread(target=self._listen, name="shoppers", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_running:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def progress(self) -> Progress:
        return self._progress

    @property
    def is_running(self) -> bool:
        """False once the last line was read and the process is gone."""
        return self._reader.is_alive() or self._process.poll() is None

    def wait(self, timeout_s: float) -> None:
        """Come back when the shoppers have left, or after `timeout_s`."""
        self._reader.join(timeout_s)
        if not self._reader.is_alive():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)

    def finish(self) -> None:
        """Close the doors: nobody new comes, those inside finish."""
        if self._process.poll() is None:
            self._process.terminate()

    def _listen(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self._progress = Progress.from_json(line)
