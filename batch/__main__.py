"""`python -m batch`: loads the warehouse and runs the jobs when they are due, until SIGTERM.

`python -m batch load`, or another job's name, does one thing once, for a CronJob; `--drain` does `load` and `hourly`.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from batch.examination import Examinations
from batch.hourly import Hourly
from batch.loader import Cursor, Loader
from batch.schedule import Job, run_when_due
from batch.upkeep import Upkeep
from omakase.adapters import open_clock, open_dead_letters, open_event_log, open_model_store, open_warehouse
from omakase.config.placements import ESTIMATED
from omakase.core.errors import InvalidInput
from omakase.serving import process
from omakase.serving.configuration import Configuration
from omakase.serving.gauges import LoaderGauges, serve_gauges
from omakase.serving.priority import give_way
from omakase.settings import BatchSettings

CURSOR = "warehouse.cursor"
# History may wait; who serves and learns may not. With processors to spare it makes no difference.
_NICE = 15


def jobs_of(settings: BatchSettings) -> dict[str, Job]:
    product = Configuration.named_by(settings).newest.product
    bus, warehouse, clock = open_event_log(settings.bus), open_warehouse(settings.warehouse), open_clock(settings.clock)
    loader = Loader(bus, warehouse, Cursor(Path(settings.state) / CURSOR))
    window_s = product.learning.reward_window_s + product.learning.allowed_lateness_s
    half_life_s = product.learning.counts_half_life_s
    models = open_model_store(settings.models)
    hourly = Hourly(warehouse, models, clock, window_s, half_life_s)
    asking = [name for name, placement in product.placements.items() if placement.examination == ESTIMATED]
    examinations = Examinations(warehouse, models, clock, asking)
    upkeep = Upkeep(warehouse, open_dead_letters(settings.training), clock, product.people.retention_s)
    return {
        "load": Job(loader.load, settings.load_s),
        "hourly": Job(hourly.run, settings.hourly_s),
        "examination": Job(examinations.run, 3600.0),
        "trim": Job(bus.trim, 60.0),
        "compact": Job(upkeep.compact, 300.0),
        "retain": Job(upkeep.retain, 3600.0),
    }


def work(settings: BatchSettings, arguments: list[str]) -> None:
    if not arguments:
        give_way(_NICE)
    jobs = jobs_of(settings)
    unknown = [name for name in arguments if name not in (*jobs, "--drain")]
    if unknown:
        raise InvalidInput(f"no job {unknown[0]!r}; known: {', '.join(jobs)}, or --drain for load and hourly")
    once = ["load", "hourly"] if "--drain" in arguments else arguments
    for name in once:
        jobs[name].run()
    if not once:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        cursor = Cursor(Path(settings.state) / CURSOR)
        serve_gauges(settings.metrics_address, LoaderGauges(open_event_log(settings.bus), cursor.read))
        run_when_due(jobs, stopping)


def main() -> int:
    return process.run("batch", BatchSettings, lambda settings: work(settings, sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
