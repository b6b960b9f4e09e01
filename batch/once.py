"""One job, done once: for a person, a CronJob, and the end of a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

from batch.jobs import JOBS, Means
from batch.progress import shown
from omakase.core.errors import InvalidInput
from omakase.core.suggestion import suggest


def day_of(text: str, now: float) -> int:
    """The start of a day, UTC, as it is written. Units: Unix seconds.

    Raises: InvalidInput for what is none, and for one that is still to come.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"--date {text[:64]!r} must be a day such as 2026-11-20, UTC") from None
    today = datetime.fromtimestamp(now, UTC).date()
    if day > today:
        raise InvalidInput(f"--date {day} is still to come: today is {today}, UTC")
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def run_once(name: str, means: Means, date: str | None) -> str:
    """Do the job, or make anew what belongs to a day. Returns what was done, in words.

    Raises: InvalidInput for a job that there is not, or one without days that is given one; Unavailable.
    """
    if name not in JOBS:
        raise InvalidInput(f"there is no job {name[:64]!r}{suggest(name, JOBS)}")
    with shown(name) as progress:
        job = JOBS[name](replace(means, progress=progress))
        if date is None:
            done = job.run()
        elif job.run_day is None:
            raise InvalidInput(f"{name} has no days, it does what is to be done: leave out --date")
        else:
            done = job.run_day(day_of(date, means.clock.now()))
    return f"{name}: {', '.join(f'{count} {what}' for what, count in done.items())}"
