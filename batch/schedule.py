"""Jobs and when they are due."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event
from typing import TypeAlias

from omakase.core.errors import OmakaseError

log = logging.getLogger(__name__)

Done: TypeAlias = Mapping[str, int]
"""What a job did: how many, by what."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every `period_s`. Idempotent: it may be repeated, after a death or beside another run.

    `run_day` makes anew what belongs to a day, whose start it is given, UTC, in Unix seconds; None: nothing does.
    """

    run: Callable[[], Done]
    period_s: float
    run_day: Callable[[int], Done] | None = None


def run_when_due(jobs: Mapping[str, Job], stopping: Event) -> None:
    """Run one job after another, each a period after it last ended, until `stopping` is set. A failed job is logged."""
    due = {name: time.monotonic() + job.period_s for name, job in jobs.items()}
    while not stopping.wait(max(0.0, min(due.values()) - time.monotonic())):
        name = min(due, key=lambda name: due[name])
        job = jobs[name]
        try:
            job.run()
        except OmakaseError as error:
            log.error("job %s is tried again in %g s: %s", name, job.period_s, error)
        due[name] = time.monotonic() + job.period_s
