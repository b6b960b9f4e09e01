"""`python -m batch`: loads the warehouse and runs the jobs when they are due, until SIGTERM.

`python -m batch load` and `python -m batch hourly` do one thing once, for a CronJob; `--drain` does both once.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from pathlib import Path

from batch.hourly import Hourly
from batch.loader import Cursor, Loader
from omakase.adapters import open_clock, open_event_log, open_model_store, open_warehouse
from omakase.config import load_product
from omakase.core.errors import InvalidInput, OmakaseError
from omakase.serving import process
from omakase.settings import BatchSettings

log = logging.getLogger("batch")


def work(settings: BatchSettings, arguments: list[str]) -> None:
    learning = load_product(Path(settings.config)).learning
    bus, warehouse = open_event_log(settings.bus), open_warehouse(settings.warehouse)
    loader = Loader(bus, warehouse, Cursor(Path(settings.state) / "warehouse.cursor"))
    window_s = learning.reward_window_s + learning.allowed_lateness_s
    hourly = Hourly(warehouse, open_model_store(settings.models), open_clock(settings.clock), window_s)
    jobs = {"load": (loader.load, settings.load_s), "hourly": (hourly.run, settings.hourly_s), "trim": (bus.trim, 60.0)}
    unknown = [name for name in arguments if name not in (*jobs, "--drain")]
    if unknown:
        raise InvalidInput(f"no job {unknown[0]!r}; known: {', '.join(jobs)}, or --drain for load and hourly")
    once = ["load", "hourly"] if "--drain" in arguments else arguments
    if once:
        for name in once:
            jobs[name][0]()
        return
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    due = {name: time.monotonic() + period_s for name, (_, period_s) in jobs.items()}
    while not stopping.wait(max(0.0, min(due.values()) - time.monotonic())):
        name = min(due, key=lambda name: due[name])
        run, period_s = jobs[name]
        try:
            run()
        except OmakaseError as error:
            log.error("job %s is tried again in %g s: %s", name, period_s, error)
        due[name] = time.monotonic() + period_s


def main() -> int:
    return process.run("batch", BatchSettings, lambda settings: work(settings, sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
