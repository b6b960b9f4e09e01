"""For any event history the bounded ticks, the streaming assembly and a plain reference give the same models.

Delivery states are equal too, and so is what became of the events but for two distinctions that depend on the order of
reading: whether an event was in the example's session or corrected it, and whether a duplicate of an excluded delivery
was read before it was excluded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import reduce
from operator import add
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dataflow.bounded import Pipeline
from dataflow.panes import OVER, Panes
from dataflow.sequences import Release
from dataflow.streaming import Batching, Streaming
from dataflow.transforms import MESSAGE, STATE
from omakase.core.accounting import EVENTS, EventEnd, Tally
from omakase.core.ids import RequestId
from omakase.core.item_statistics import ItemStatistics
from omakase.core.posterior import Outcome, Statistics
from omakase.core.rewards import RewardTable
from omakase.core.sessions import Example
from omakase.ports.model_store import ModelKey
from omakase.ports.training_state import StoredState
from omakase.wire import bus_body
from tests.plain_sums import Sums
from tests.property.histories import CONVERTING, START, WEIGHTS, History, Reading, histories, times
from tests.property.reference import Reference
from tests.unit.dataflow.stream import OpenStore, Stream, stopped_clock

REWARDS = {
    "home": RewardTable(WEIGHTS, conversion_models={"home"}),
    "elsewhere": RewardTable(WEIGHTS, conversion_models={"home"}),
}
AS_OF = START + 1000.0
BATCH = 3
BEAM = settings(
    max_examples=5,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink a failure takes a Beam run a step
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def reference(history: History) -> dict[str, Sums]:
    plain = Reference(history.rules.reward_window_s, WEIGHTS, frozenset({CONVERTING}), history.half_lives)
    return plain.sums(history.events, AS_OF)


def assert_learnt(found: Mapping[str, Statistics], wanted: Mapping[str, Sums], history: History) -> None:
    """Models of which everything was taken back are there, and empty up to rounding."""
    assert found.keys() >= wanted.keys()
    for key, statistics in found.items():
        sums = wanted.get(key, Sums.empty(statistics.dimensions))
        aged = statistics.aged(AS_OF)
        assert aged.examples == sums.examples
        assert aged.weight == pytest.approx(sums.weight, abs=1e-9)
        np.testing.assert_allclose(aged.precision, sums.precision, atol=1e-9)
        for name in ("click", "reward"):
            outcome = aged.outcomes.get(name, Outcome(np.zeros(aged.dimensions), 0.0))
            np.testing.assert_allclose(outcome.moment, sums.moments[name], atol=1e-9)
            assert outcome.energy == pytest.approx(sums.energies[name], abs=1e-9)
        assert aged.half_life_s == history.half_lives.get(key, math.inf)
        if key in history.by_item:
            assert_learnt_by_item(aged.items, sums.items)


def assert_learnt_by_item(found: ItemStatistics, wanted: Mapping[str, Sums]) -> None:
    assert set(found.item_ids) >= wanted.keys()
    for place, item_id in enumerate(found.item_ids):
        sums = wanted.get(item_id, Sums.empty(found.width))
        np.testing.assert_allclose(found.precision[place], sums.precision[np.tril_indices(found.width)], atol=1e-9)
        assert found.weights[place] == pytest.approx(sums.weight, abs=1e-9)
        for name in ("click", "reward"):
            np.testing.assert_allclose(found.outcomes[name].moments[place], sums.moments[name], atol=1e-9)
            assert found.outcomes[name].energies[place] == pytest.approx(sums.energies[name], abs=1e-9)


def settled(tally: Tally) -> Tally:
    """Without the two distinctions that the order of reading makes."""
    alike = {
        (EVENTS, EventEnd.CORRECTED_LATE): (EVENTS, EventEnd.USED),
        (EVENTS, EventEnd.DUPLICATE): (EVENTS, EventEnd.EXCLUDED),
    }
    merged: Tally = Counter()
    for state, n in tally.items():
        merged[alike.get(state, state)] += n
    return Counter({state: n for state, n in merged.items() if n})


def work_of(readings: list[Reading]) -> list[tuple[bytes, bytes]]:
    return [(one.record.request_id, MESSAGE + bus_body(one.record)) for one in readings]


def in_ticks(history: History, cuts: list[float]) -> tuple[dict[str, Statistics], Tally]:
    """Bounded ticks, with what a trainer keeps between them in a dict, and a drain."""
    rules = history.rules
    pipeline = Pipeline(rules, REWARDS, {}, BATCH, history.learners)
    states: dict[RequestId, StoredState] = {}
    sums: dict[str, Statistics] = {}
    tally: Tally = Counter()
    closed_before = -math.inf
    for now, readings in [*history.cut(cuts), (math.inf, [])]:
        work = work_of(readings)
        named = {request_id for request_id, _ in work}
        due = {one: state for one, state in states.items() if one in named or state.due_at <= now}
        work += [(request_id, STATE + state.body) for request_id, state in due.items()]
        outcome = pipeline.run(work, now, closed_before)
        for request_id, fold in outcome.folds.items():
            tally.update(fold.tally)
            states.pop(request_id, None)
            if fold.state is not None:
                states[request_id] = fold.state
        for key, part in outcome.statistics.items():
            sums[key] = sums[key] + part if key in sums else part
        closed_before = now - rules.reward_window_s - rules.allowed_lateness_s
    assert not states
    return sums, tally


def in_stream(history: History, cuts: list[float], directory: Path) -> tuple[dict[str, Statistics], Tally]:
    """The watermark stands at the end of one cut while the next is read; the models are what was published."""
    stream = Stream().watermark(START - 1)
    for end, readings in history.cut(cuts):
        for one in readings:
            stream.send(one.record, at=one.received_at)
        stream.watermark(end).pass_time(3.0)
    release = Release(OpenStore(directory), {}, "stream", 1.0, stopped_clock)
    ran = stream.run(
        Streaming(Panes(history.rules, REWARDS, {}), history.learners, Batching(BATCH, 2.0), release), directory
    )
    assert not ran.dead_letters
    for key, snapshot in ran.models.items():
        (last,) = snapshot.sequences.values()
        assert {row["sequence"] for row in ran.rows if row["model"] == key} == set(range(1, last + 1))
    return {key: snapshot.statistics for key, snapshot in ran.models.items()}, ran.tally


def in_panes(history: History, data: st.DataObject) -> tuple[dict[str, Statistics], Tally]:
    """The streaming assembly's own functions under any panes and any batches, without a runner."""
    panes = Panes(history.rules, REWARDS, {})
    kept: dict[RequestId, tuple[bytes, float]] = {}
    made: list[Example] = []
    tally: Tally = Counter()

    def fold(request_id: RequestId, bodies: list[bytes], now: float) -> None:
        folded, *keep = panes.fold(kept[request_id][0] if request_id in kept else None, request_id, bodies, now)
        kept[request_id] = (keep[0], keep[1])
        made.extend(folded.examples)
        tally.update(folded.tally)

    for now, readings in [*history.cut(data.draw(times(history, 5), label="watermarks")), (AS_OF, [])]:
        for request_id in dict.fromkeys(one.record.request_id for one in readings):
            fold(request_id, [bus_body(one.record) for one in readings if one.record.request_id == request_id], now)
        for request_id, (state, due_at) in list(kept.items()):
            while state != OVER and due_at <= now:
                fold(request_id, [], due_at)
                state, due_at = kept[request_id]
    batches = data.draw(st.permutations(range(len(made))), label="order of the examples")
    sums: dict[str, list[Statistics]] = {}
    for at in batches:
        model = made[at].delivery.model
        sums.setdefault(model, []).append(history.learners[model].summarise([made[at]]))
    return {ModelKey(model): reduce(add, parts) for model, parts in sums.items()}, tally


@st.composite
def cases(draw: st.DrawFn) -> tuple[History, list[float], list[float]]:
    """A history, the times of its ticks, and where the watermark of its stream stands still."""
    history = draw(histories(max_slates=10))
    return history, draw(times(history, 2)), draw(times(history, 3))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@BEAM
@given(cases())
def test_ticks_stream_and_reference_learn_the_same(case: tuple[History, list[float], list[float]]) -> None:
    history, ticks, watermarks = case
    wanted = reference(history)
    ticked, tick_tally = in_ticks(history, ticks)
    assert_learnt(ticked, wanted, history)
    with TemporaryDirectory() as directory:
        streamed, stream_tally = in_stream(history, watermarks, Path(directory))
    assert_learnt(streamed, wanted, history)
    assert settled(stream_tally) == settled(tick_tally)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories(), st.data())
def test_any_panes_and_any_batches_learn_what_the_reference_does(history: History, data) -> None:
    panes, tally = in_panes(history, data)
    assert_learnt(panes, reference(history), history)
    again, other = in_panes(history, data)
    assert_learnt(again, reference(history), history)
    assert settled(tally) == settled(other)
