"""Fed the same messages, every assembly ends with the same model: on one machine, on the cloud's services by ticks, and
as the streaming job.

What may differ is the shard's name, under which each counts its batches. Ticks read in the same order, so their sums
are the same to the bit. The stream adds up in another order: the same to 1e-9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from dataflow.__main__ import build
from dataflow.launch import job_of
from omakase import models
from omakase.adapters import open_event_bus, open_model_store
from omakase.adapters.gcp.pubsub.clients import subscription_path, topic_path
from omakase.adapters.local.clock import MappedClock
from omakase.adapters.uri import Uri
from omakase.cloud.topics import Subscription, Topic, dead_letter_topic
from omakase.config import Product, parse_product
from omakase.configured import ConfiguredModel
from omakase.core.accounting import EventEnd
from omakase.core.events import Event, Joined
from omakase.core.ids import NOBODY, RequestId
from omakase.core.posterior import Statistics
from omakase.core.slates import Delivery, Slate
from omakase.ports.event_bus import Message
from omakase.ports.model_store import ModelKey
from omakase.settings import StreamingSettings, TrainerSettings
from omakase.snapshots import Snapshot, encode_snapshot
from omakase.wire import bus_body
from tests.counterparts import cloud
from tests.integration.draining import Drain, run
from tests.integration.stage import START

PRODUCT = """
placements:
  home:
    rewards: {click: 1, conversion: 0.5}
    variants:
      shared: {share: 5000, policy: thompson, model: shared}
      by_item: {share: 5000, policy: thompson, model: by_item}
policies: {thompson: {type: linear_ts}}
models:
  shared: {features: taste, half_life_s: 3600, conversions: true}
  by_item: {features: taste, type: per_item}
features:
  taste:
    item: [{type: numeric, name: price}]
    context: [{type: numeric, name: age}]
learning: {session_gap_s: 10, session_max_s: 60, reward_window_s: 1000, allowed_lateness_s: 100, publish_interval_s: 1,
           batch_size: 7}
"""
# Everything else is in the recording. `lost` is what a trainer without its memory counts.
NOT_HERE = {EventEnd.REJECTED, EventEnd.UNATTRIBUTED, EventEnd.LOST}
SLATES, POSITIONS = 27, 3
# Where ticks are made and the watermark stands: in the midst of sessions, between them, after the window.
STOPS = (START + 25.0, START + 60.0, START + 400.0, START + 3000.0)


@dataclass(frozen=True)
class Recording:
    """Messages as tracking publishes them: slates, what was seen and clicked of them, soon, later or too late."""

    product: Product
    seed: int = 8

    @cached_property
    def messages(self) -> list[Message]:
        rng = np.random.default_rng(self.seed)
        made = [message for number in range(SLATES) for message in self._of_slate(number, rng)]
        made += [made[place] for place in rng.integers(len(made), size=20)]  # published again under the same key
        return sorted(made, key=lambda message: message.at)

    def cut(self) -> list[tuple[float, list[Message]]]:
        starts = [-math.inf, *STOPS]
        return [
            (stop, [message for message in self.messages if start < message.at <= stop])
            for start, stop in zip(starts, STOPS, strict=False)
        ]

    def _of_slate(self, number: int, rng: np.random.Generator) -> list[Message]:
        slate = self._slate(number, START + number * 1.5)
        is_lost = number % 13 == 12  # its events are orphans for good
        made = [] if is_lost else [_message(slate, slate.served_at + rng.uniform(0, 3))]
        for nth in range(int(rng.integers(0, 9))):
            position = int(rng.integers(1, POSITIONS + 1))
            after_s = rng.choice([rng.uniform(0, 8), rng.uniform(8, 90), rng.uniform(90, 990), rng.uniform(1001, 1200)])
            event = Event(
                receipt_id=rng.bytes(16),
                request_id=slate.request_id,
                position=position,
                type=str(rng.choice(["impression", "click", "conversion"], p=[0.5, 0.4, 0.1])),
                received_at=round(START + number * 1.5 + after_s, 3),
                event_id=f"e{nth % 3}" if nth % 2 else "",
                delivery=None if is_lost else Joined.of(slate, position),
                unwanted="bot" if rng.random() < 0.05 else "",
            )
            made.append(_message(event if event.type != "conversion" else replace(event, event_id="c"), 0.0))
        return made

    def _slate(self, number: int, served_at: float) -> Slate:
        name = ("shared", "by_item")[number % 2]
        model = ConfiguredModel.of(self.product, name)
        deliveries = tuple(
            Delivery(
                at + 1, f"i{at}", "", 0.0, None, None, None, model.spec.encode_item({"price": at - number / 9}), {}
            )
            for at in range(POSITIONS)
        )
        request_id = RequestId(round(served_at * 1000).to_bytes(6, "big") + number.to_bytes(10, "big"))
        context = model.spec.encode_context({"age": 1.0 + number % 5})
        facts = (model.key, f"{model.key}@0", 0, NOBODY, NOBODY, {}, context)
        return Slate(request_id, served_at, "home", name, "linear_ts", *facts, deliveries)


def _message(record: Event | Slate, at: float) -> Message:
    if isinstance(record, Event):
        return Message(record.receipt_id, record.received_at, bus_body(record), "events", 1, record)
    return Message(bytes(record.request_id), round(at, 3), bus_body(record), "deliveries", len(record.deliveries))


def by_ticks(directory: Path, recording: Recording, bus: str, store: str) -> dict[ModelKey, Snapshot]:
    """What the bounded trainer learns, each stop a tick, and a drain."""
    clock = MappedClock.create(directory / "clock", START)
    settings = TrainerSettings(
        config=str(directory / "product.yaml"),
        keys="",
        clock=f"mapped:{directory / 'clock'}",
        bus=bus,
        models=store,
        warehouse=f"duckdb:{directory / 'warehouse'}",
        state=f"sqlite:{directory / 'training.db'}",
    )
    Path(settings.config).write_text(PRODUCT)
    trainer, publishing = build(settings), open_event_bus(bus)
    for stop, messages in recording.cut():
        publishing.publish(messages)
        clock.move(stop)
        trainer.tick()
    trainer.drain()
    _, events = trainer.state.account()
    assert events.ends.keys() >= {"used", *set(EventEnd) - NOT_HERE}
    return snapshots(store)


def by_stream(
    directory: Path, recording: Recording, bus: str, subscription: str, store: str
) -> dict[ModelKey, Snapshot]:
    """What the streaming job learns of that subscription, its watermark standing at every stop."""
    settings = StreamingSettings(
        config="", bus=bus, models=store, warehouse=f"duckdb:{directory / 'stream'}", spread=2, history_spread=1
    )
    job, drain = job_of(settings, recording.product), Drain(subscription)
    pulled = drain.pull(job.key, job.received_at)
    assert len(pulled) == len({message.key for message in recording.messages})
    stops = [-math.inf, *STOPS]
    cuts = [
        (stop, [message for message in pulled if start < message[0] <= stop])
        for start, stop in zip(stops, STOPS, strict=False)
    ]
    run(job, cuts)
    drain.acknowledge()
    return snapshots(store)


def snapshots(store: str) -> dict[ModelKey, Snapshot]:
    opened = open_model_store(store)
    return {key: models.newest(opened, key).snapshot for key in models.keys(opened)}


def bits(statistics: Statistics) -> bytes:
    return encode_snapshot(Snapshot("", "", statistics))


def numbers(statistics: Statistics) -> list[np.ndarray]:
    """All that is learnt, as of one time."""
    aged = statistics.aged(START + 5000.0)
    items, order = aged.items, np.argsort(aged.items.item_ids)
    found = [aged.weight, aged.precision, items.precision[order], items.weights[order]]
    for name in sorted(aged.outcomes):
        found += [aged.outcomes[name].moment, aged.outcomes[name].energy]
    for name in sorted(items.outcomes):
        found += [items.outcomes[name].moments[order], items.outcomes[name].energies[order]]
    return [np.ravel(part) for part in found]


@pytest.mark.slow
def test_every_assembly_learns_the_same_model(tmp_path: Path) -> None:
    recording = Recording(parse_product(PRODUCT))
    here, there = tmp_path / "here", tmp_path / "there"
    for directory in (here, there):
        directory.mkdir()
    bus = cloud.pubsub(there)
    topic = topic_path(Uri.parse(bus).location)
    stream = subscription_path(topic, "stream-" + topic.rpartition("/")[2])
    Topic(dead_letter_topic(topic)).ensure()
    Subscription(stream, topic).ensure()

    embedded = by_ticks(here, recording, f"sqlite:{here / 'bus.db'}", f"file:{here / 'models'}")
    on_cloud = by_ticks(there, recording, bus, cloud.models(there))
    streamed = by_stream(there, recording, bus, stream, cloud.models(there))

    assert embedded.keys() == on_cloud.keys() == streamed.keys()
    assert {key.partition("/")[0] for key in embedded} == {"shared", "by_item"}
    for key, snapshot in embedded.items():
        wanted = snapshot.statistics
        assert wanted.examples > 10
        assert bits(on_cloud[key].statistics) == bits(wanted)
        assert list(on_cloud[key].sequences.values()) == list(snapshot.sequences.values())
        found = streamed[key].statistics
        assert found.examples == wanted.examples
        for one, other in zip(numbers(found), numbers(wanted), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
