"""The account as Prometheus gauges, read when they are asked for: they say what `omakase events stats` says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from omakase import models
from omakase.core.accounting import Side
from omakase.ports.dead_letters import DeadLetters
from omakase.ports.event_bus import EventLog
from omakase.ports.model_store import ModelStore
from omakase.ports.training_state import TrainingState


@dataclass(frozen=True, slots=True)
class TrainerGauges(Collector):
    """What the trainer did with what it read. Cost: a few sums over what is open, and a look at each model."""

    state: TrainingState
    letters: DeadLetters
    log: EventLog
    models: ModelStore

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Raises: Unavailable, which Prometheus shows as a scrape that failed."""
        progress, (deliveries, events) = self.state.progress(), self.state.account()
        yield _ends("omakase_deliveries_ended", "Deliveries by the state in which they ended", deliveries)
        yield _one("omakase_deliveries_open", "Deliveries whose reward window is open", deliveries.open)
        yield _ends("omakase_events_ended", "Accepted events by the state in which they ended", events)
        yield _one("omakase_events_open", "Events of sessions that have not closed", events.open)
        yield self._dead()
        yield _one("omakase_trainer_unread", "Messages on their way to the trainer", _left(self.log, progress.cursor))
        yield _one("omakase_trainer_ticks", "Ticks committed since the trainer's memory was made", progress.number)
        yield self._published()

    def _dead(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "omakase_dead_letters", "What ended in dead letters, dropped ones included", labels=("kind", "reason")
        )
        for count in self.letters.counts():
            family.add_metric((count.kind, count.reason), count.kept + count.dropped)
        return family

    def _published(self) -> GaugeMetricFamily:
        about = "When each model was last published, Unix seconds"
        family = GaugeMetricFamily("omakase_model_published_seconds", about, labels=("model",))
        for key in models.keys(self.models):
            family.add_metric((key,), models.newest(self.models, key).snapshot.published_at)
        return family


@dataclass(frozen=True, slots=True)
class LoaderGauges(Collector):
    """How far the warehouse has got; `cursor` gives the offset up to which it is loaded."""

    log: EventLog
    cursor: Callable[[], int]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Raises: Unavailable."""
        left = _left(self.log, self.cursor())
        yield _one("omakase_warehouse_unloaded", "Messages on their way to the warehouse", left)


def serve_gauges(address: str | None, collector: Collector, registry: CollectorRegistry = REGISTRY) -> None:
    """Add the gauges to those of the process, and serve all at /metrics of `host:port`, if there is one."""
    if address is not None:
        registry.register(collector)
        host, _, port = address.rpartition(":")
        start_http_server(int(port), host, registry)


def _left(log: EventLog, cursor: int) -> int:
    return log.last_offset() - cursor


def _one(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value)


def _ends(name: str, about: str, side: Side) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=("state",))
    for state, count in side.ends.items():
        family.add_metric((state,), count)
    return family
