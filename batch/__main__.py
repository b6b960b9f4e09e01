"""`python -m batch`: the scheduler of one machine, which runs the jobs when they are due, until SIGTERM.

`python -m batch NAME [--date D]` does one job once, as `omakase batch` does; `--drain` what is left when a run
has ended.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from functools import cache

from batch.jobs import JOBS, Means, named, scheduled
from batch.once import run_once
from batch.schedule import run_when_due
from omakase.adapters import (
    open_clock,
    open_dead_letters,
    open_event_log,
    open_forgotten,
    open_model_store,
    open_warehouse,
)
from omakase.serving import process
from omakase.serving.configuration import Configuration
from omakase.serving.gauges import LoaderGauges, serve_gauges
from omakase.serving.priority import give_way
from omakase.settings import BatchSettings

# History may wait; who serves and learns may not. With processors to spare it makes no difference.
_NICE = 15
_DRAIN = ("load", "aggregate", "context-free")


def work(settings: BatchSettings, arguments: argparse.Namespace) -> None:
    means = Means(
        settings,
        Configuration.named_by(settings).newest.product,
        open_clock(settings.clock),
        open_warehouse(settings.warehouse),
        open_model_store(settings.models),
        cache(lambda: open_event_log(named(settings.bus, "OMAKASE_BUS"))),
        cache(lambda: open_dead_letters(named(settings.training, "OMAKASE_TRAINING"))),
        cache(lambda: open_forgotten(named(settings.deliveries, "OMAKASE_DELIVERIES"))),
    )
    names = _DRAIN if arguments.drain else arguments.names
    for name in names:
        print(run_once(name, means, arguments.date), flush=True)
    if not names:
        schedule(means)


def schedule(means: Means) -> None:
    give_way(_NICE)
    jobs = scheduled(means)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    serve_gauges(means.settings.metrics_address, LoaderGauges(means.bus(), means.cursor().read))
    run_when_due(jobs, stopping)


def main() -> int:
    parser = argparse.ArgumentParser("batch")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(JOBS))
    parser.add_argument("--date", help="a day, UTC, to make anew what belongs to it")
    parser.add_argument("--drain", action="store_true", help=", ".join(_DRAIN))
    arguments = parser.parse_args()
    return process.run("batch", BatchSettings, lambda settings: work(settings, arguments))


if __name__ == "__main__":
    sys.exit(main())
