"""The pipeline's steps, free of any runner. What they compute lives in `omakase.core`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TypeAlias

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from omakase.configured import Widths
from omakase.core.accounting import FEATURES, UNDECODABLE, Tally
from omakase.core.errors import Corrupt
from omakase.core.events import Event
from omakase.core.folding import fold_slate
from omakase.core.ids import RequestId
from omakase.core.learners import Learner, UnconfiguredLearner
from omakase.core.posterior import Statistics
from omakase.core.rewards import RewardTable
from omakase.core.sessions import Discarded, Example, SessionRules, SlateRead, SlateState
from omakase.ports.training_state import StoredState
from omakase.states import decode_state, encode_state
from omakase.wire import decode_for_training

# A message's body, why it cannot be used, and the detail.
Unusable: TypeAlias = tuple[bytes, str, str]

# An entry is one byte of kind and what it stands for, so that Beam ships plain bytes.
STATE, MESSAGE = b"S", b"M"
_UNCONFIGURED = UnconfiguredLearner()


@dataclass(frozen=True, slots=True)
class Folded:
    """What one slate came to in this run. `state` is None when nothing more can come.

    `unusable` are bodies of messages that could not be used, each with the reason and its detail: they must not stop
    the others.
    """

    request_id: RequestId
    state: StoredState | None
    examples: tuple[Example, ...]
    tally: Tally
    unusable: tuple[Unusable, ...] = ()


class FoldSlate(beam.DoFn):  # type: ignore[misc]
    """(request id, entries: its state and the messages read of it) to `Folded`."""

    def __init__(
        self,
        now: float,
        closed_before: float,
        rules: SessionRules,
        rewards: Mapping[str, RewardTable],
        widths: Mapping[str, Widths],
    ) -> None:
        self._now = now
        self._closed_before = closed_before
        self._widths = widths
        self._rules = rules
        self._rewards = rewards

    def process(self, element: tuple[bytes, Iterable[bytes]]) -> Iterator[Folded]:
        request_id = RequestId(element[0])
        read = _read(request_id, element[1], self._widths)
        fold = fold_slate(
            read.state,
            read.slate,
            read.events,
            self._now,
            self._rules,
            self._rewards,
            self._closed_before,
            is_discarded=read.is_discarded,
        )
        kept = None if fold.state is None else _stored(fold.state, self._rules)
        yield Folded(request_id, kept, fold.examples, fold.tally, tuple(read.unusable))


class SumExamples(beam.PTransform):  # type: ignore[misc]
    """`Folded` to (model, statistics): mini-batches summed where they were folded, then added."""

    def __init__(self, batch_size: int, learners: Mapping[str, Learner]) -> None:
        super().__init__()
        self._batch_size = batch_size
        self._learners = learners

    def expand(self, folds: beam.PCollection) -> beam.PCollection:
        return (
            folds
            | "mini-batches" >> beam.ParDo(SumBatch(self._batch_size, self._learners))
            | "add" >> beam.CombinePerKey(_add_all)
        )


class SumBatch(beam.DoFn):  # type: ignore[misc]
    """Mini-batches of at most `batch_size` of each model's examples: where sums are enough, no example is shipped."""

    def __init__(self, batch_size: int, learners: Mapping[str, Learner]) -> None:
        self._batch_size = batch_size
        self._learners = learners
        self._waiting: dict[str, list[Example]] = {}

    def start_bundle(self) -> None:
        self._waiting = {}

    def process(self, fold: Folded) -> Iterator[tuple[str, Statistics]]:
        for example in fold.examples:
            model = example.delivery.model
            batch = self._waiting.setdefault(model, [])
            batch.append(example)
            if len(batch) >= self._batch_size:
                yield model, self._sum(model, self._waiting.pop(model))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for model, batch in self._waiting.items():
            sums = self._sum(model, batch)
            yield GlobalWindows.windowed_value((model, sums), timestamp=GlobalWindow().max_timestamp())

    def _sum(self, model: str, batch: list[Example]) -> Statistics:
        return self._learners.get(model, _UNCONFIGURED).summarise(batch)


@dataclass(slots=True)
class _Read:
    """The entries of one slate, decoded."""

    state: SlateState
    slate: SlateRead | None = None
    is_discarded: bool = False
    events: list[Event] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)


def _read(request_id: RequestId, entries: Iterable[bytes], widths: Mapping[str, Widths]) -> _Read:
    read = _Read(SlateState(request_id))
    for entry in entries:
        kind, body = entry[:1], entry[1:]
        if kind == STATE:
            read.state = decode_state(body)
            continue
        try:
            record = decode_for_training(body)
        except Corrupt as error:
            read.unusable.append((body, UNDECODABLE, str(error)))
            continue
        if isinstance(record, SlateRead):
            read.slate = record
        elif isinstance(record, Discarded):
            read.is_discarded = True
        elif misfit := _misfit(record, widths):
            read.unusable.append((body, FEATURES, misfit))
        else:
            read.events.append(record)
    return read


def _misfit(event: Event, widths: Mapping[str, Widths]) -> str:
    """How the event's features are not of its model, if so: one such would stop all that the model learns."""
    delivery = event.delivery
    if delivery is None or delivery.model not in widths:
        return ""
    found = (delivery.context_factor.size, delivery.item_factor.size)
    if found == widths[delivery.model]:
        return ""
    return f"features of {found} do not fit model {delivery.model} of {widths[delivery.model]}"


def _stored(state: SlateState, rules: SessionRules) -> StoredState:
    return StoredState(encode_state(state), state.due_at(rules), state.open_events, state.open_deliveries)


def _add_all(parts: Iterable[Statistics]) -> Statistics:
    return reduce(add, parts)
