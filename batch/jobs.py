"""The jobs: one table, for the scheduler of one machine and for a CronJob."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from batch.aggregates import Aggregates, Written
from batch.context_free import ContextFree
from batch.examination import Examinations
from batch.forgetting import Forget
from batch.loader import Cursor, Loader
from batch.progress import Progress, nobody_watches
from batch.schedule import Done, Job
from batch.upkeep import Upkeep
from omakase.config import Product
from omakase.config.placements import ESTIMATED
from omakase.core.errors import InvalidInput
from omakase.ports.clock import Clock
from omakase.ports.dead_letters import DeadLetters
from omakase.ports.event_bus import EventLog
from omakase.ports.forgotten import Forgotten
from omakase.ports.model_store import ModelStore
from omakase.ports.warehouse import Warehouse
from omakase.settings import BatchSettings

CURSOR = "warehouse.cursor"


@dataclass(frozen=True, slots=True)
class Means:
    """What jobs work with.

    Not every deployment has a bus, a trainer's state, or the delivery store at hand: they are opened when a job asks,
    which raises InvalidInput where the settings do not name them.
    """

    settings: BatchSettings
    product: Product
    clock: Clock
    warehouse: Warehouse
    models: ModelStore
    bus: Callable[[], EventLog]
    letters: Callable[[], DeadLetters]
    forgotten: Callable[[], Forgotten]
    progress: Progress = nobody_watches

    def cursor(self) -> Cursor:
        """How far the warehouse is loaded. Raises: InvalidInput."""
        return Cursor(Path(named(self.settings.state, "OMAKASE_STATE")) / CURSOR)


def named(setting: str | None, variable: str) -> str:
    """A setting that a job needs. Raises: InvalidInput if it is not given."""
    if setting is None:
        raise InvalidInput(f"this needs {variable}, which is not set: see the batch settings in docs/configuration.md")
    return setting


def _load(means: Means) -> Job:
    loader = Loader(means.bus(), means.warehouse, means.cursor())
    return Job(lambda: {"messages": loader.load()}, means.settings.load_s)


def _aggregate(means: Means) -> Job:
    learning = means.product.learning
    window_s = learning.reward_window_s + learning.allowed_lateness_s
    aggregates = Aggregates(means.warehouse, means.clock, window_s, means.progress)

    def told(written: Written) -> Done:
        return {"hours": written.hours, "rows": written.rows}

    return Job(lambda: told(aggregates.run()), means.settings.aggregate_s, lambda day: told(aggregates.run_day(day)))


def _context_free(means: Means) -> Job:
    half_life_s = means.product.learning.counts_half_life_s
    job = ContextFree(means.warehouse, means.models, half_life_s, means.progress)
    return _of_every_day(lambda: {"placements": job.run()}, means.settings.aggregate_s)


def _examination(means: Means) -> Job:
    placements = means.product.placements.items()
    asking = [name for name, placement in placements if placement.examination == ESTIMATED]
    job = Examinations(means.warehouse, means.models, means.clock, asking)
    return _of_every_day(lambda: {"placements": job.run()}, 3600.0)


def _trim(means: Means) -> Job:
    bus = means.bus()
    return Job(lambda: {"messages": bus.trim()}, 60.0)


def _compact(means: Means) -> Job:
    upkeep = _upkeep(means)
    return Job(lambda: {"files": upkeep.compact()}, 300.0)


def _retain(means: Means) -> Job:
    upkeep = _upkeep(means)
    return Job(lambda: {"hours": upkeep.retain()}, 3600.0)


def _forget(means: Means) -> Job:
    job = Forget(means.warehouse, means.forgotten(), means.clock)
    return Job(lambda: {"rows": job.run()}, 3600.0)


def _upkeep(means: Means) -> Upkeep:
    # Where there is no trainer's state, dead letters are kept elsewhere, and expire there.
    letters = means.letters() if means.settings.training else None
    return Upkeep(means.warehouse, letters, means.clock, means.product.people.retention_s)


def _of_every_day(run: Callable[[], Done], period_s: float) -> Job:
    """What is made of all there is, and so of every day: older rows alone must not replace what newer ones made."""
    return Job(run, period_s, lambda _: run())


JOBS: Mapping[str, Callable[[Means], Job]] = {
    "load": _load,
    "aggregate": _aggregate,
    "context-free": _context_free,
    "examination": _examination,
    "trim": _trim,
    "compact": _compact,
    "retain": _retain,
    "forget": _forget,
}


def scheduled(means: Means) -> dict[str, Job]:
    """What the scheduler runs: everything, but where it is not told who was forgotten a CronJob asks that."""
    return {name: job(means) for name, job in JOBS.items() if job is not _forget or means.settings.deliveries}
