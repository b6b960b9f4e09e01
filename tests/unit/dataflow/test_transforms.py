"""The pipeline's steps, each called as Beam calls it."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import reduce
from itertools import pairwise
from operator import add

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from numpy.testing import assert_allclose

from dataflow.bounded import _DESKS, FOLDS, Keep, Pipeline, _desk
from dataflow.transforms import MESSAGE, STATE, Folded, FoldSlate, SumBatch, SumExamples
from omakase.core.accounting import EVENTS, RECEIVED, UNDECODABLE
from omakase.core.events import Event, Joined
from omakase.core.ids import Pseudonym
from omakase.core.posterior import Statistics
from omakase.core.rewards import RewardTable
from omakase.core.sessions import Example, SessionRules
from omakase.core.training import summarise
from omakase.wire import bus_body

RULES = SessionRules(gap_s=10, max_s=60, reward_window_s=1000, allowed_lateness_s=10)
REWARDS = {"home": RewardTable()}
AT = 1_760_000_000.0


def request_id(n: int, at: float = AT) -> bytes:
    return int(at * 1000).to_bytes(6, "big") + n.to_bytes(10, "big")


def joined(model: str = "home/abc", item: float = 1.0) -> Joined:
    context, factor = np.array([1.0, 0.5], np.float32), np.array([1.0, item], np.float32)
    return Joined(AT, "home", "learnt", "thompson", model, Pseudonym("u"), "i1", context, factor)


def event(n: int, of: int, kind: str = "impression", model: str = "home/abc") -> Event:
    return Event(n.to_bytes(16, "big"), request_id(of), 1, kind, AT + 1, delivery=joined(model, float(of % 7)))


def folds(n: int, models: tuple[str, ...] = ("home/abc",)) -> list[Folded]:
    """n examples over the models in turn, some of them corrections, one to three a slate."""
    rng = np.random.default_rng(4)
    made = []
    for i in range(n):
        click = float(rng.integers(2))
        outcomes, before = {"click": click, "reward": 3 * click}, None
        if i % 5 == 0:
            before = {"click": 0.0, "reward": 0.0}
        made.append(Example(joined(models[i % len(models)], float(rng.normal())), outcomes, 1.0, AT, before))
    cuts = [0, *np.cumsum(rng.integers(1, 4, size=n)).tolist()]
    slices = [tuple(made[a:b]) for a, b in pairwise(cuts)]
    return [Folded(request_id(i), None, some, Counter()) for i, some in enumerate(slices)]


def assert_same(found: Statistics, wanted: Statistics) -> None:
    assert (found.examples, found.dimensions) == (wanted.examples, wanted.dimensions)
    assert_allclose(found.weight, wanted.weight)
    assert_allclose(found.precision, wanted.precision)
    for name in ("click", "reward"):
        assert_allclose(found.outcomes[name].moment, wanted.outcomes[name].moment, atol=1e-12)
        assert_allclose(found.outcomes[name].energy, wanted.outcomes[name].energy)


def sums_of(batch_size: int, work: list[Folded]) -> dict[str, list[Statistics]]:
    """One bundle through SumBatch."""
    step = SumBatch(batch_size, {})
    step.start_bundle()
    found: defaultdict[str, list[Statistics]] = defaultdict(list)
    for fold in work:
        for model, sums in step.process(fold):
            found[model].append(sums)
    for windowed in step.finish_bundle():
        model, sums = windowed.value
        found[model].append(sums)
    return found


def by_model(work: list[Folded]) -> dict[str, Statistics]:
    examples: defaultdict[str, list[Example]] = defaultdict(list)
    for fold in work:
        for example in fold.examples:
            examples[example.delivery.model].append(example)
    return {model: summarise(some) for model, some in examples.items()}


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100, 1000])
def test_mini_batches_sum_to_the_sum_of_all_whatever_their_size(batch_size):
    work = folds(100, models=("home/abc", "basket/x"))
    found = sums_of(batch_size, work)
    for model, wanted in by_model(work).items():
        assert_same(reduce(add, found[model]), wanted)
        assert len(found[model]) == max(1, -(-50 // batch_size))


def test_nothing_is_left_over_from_a_bundle_that_was_given_up():
    step, work = SumBatch(1000, {}), folds(10)
    step.start_bundle()
    for fold in work:
        assert list(step.process(fold)) == []
    step.start_bundle()
    assert list(step.finish_bundle()) == []


@pytest.mark.parametrize("batch_size", [3, 1000])
def test_beam_adds_the_mini_batches_of_all_its_bundles(batch_size):
    work = folds(60, models=("home/abc", "basket/x"))
    with _desk([]) as desk:
        with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([], save_main_session=False)) as pipeline:
            sums = pipeline | beam.Create(work, reshuffle=True) | SumExamples(batch_size, {})
            _ = sums | beam.ParDo(Keep(desk, FOLDS))
        found = _DESKS[desk].done[FOLDS]
    wanted = by_model(work)
    assert found.keys() == wanted.keys()
    for model, sums in wanted.items():
        assert_same(found[model], sums)


def test_a_bundle_that_is_run_again_keeps_one_of_each():
    work = [(request_id(1), "fold"), (request_id(2), "other")]
    with _desk([]) as desk:
        for _ in range(2):
            for element in work:
                Keep(desk, FOLDS).process(element)
        assert _DESKS[desk].done[FOLDS] == dict(work)
    assert desk not in _DESKS


def test_folds_a_slate_s_messages_with_what_is_remembered_of_it():
    step = FoldSlate(AT + 5, 0.0, RULES, REWARDS, {})
    (first,) = step.process((request_id(1), [MESSAGE + bus_body(event(1, 1))]))
    assert first.state is not None
    assert (first.examples, first.state.open_events, first.state.due_at) == ((), 1, AT + 11)
    later = FoldSlate(AT + 12, 0.0, RULES, REWARDS, {})
    entries = [STATE + first.state.body, MESSAGE + bus_body(event(2, 1, "click"))]
    for order in (entries, entries[::-1]):
        (second,) = later.process((request_id(1), order))
        (example,) = second.examples
        assert example.outcomes["click"] == 1.0
        assert second.tally[EVENTS, RECEIVED] == 1


@pytest.mark.parametrize("body", [b"\xff\xff", b"", bus_body(event(2, 1))[:-30]], ids=["rubbish", "empty", "cut off"])
def test_a_message_that_cannot_be_read_does_not_stop_the_others_of_its_slate(body):
    step = FoldSlate(AT + 60, 0.0, RULES, REWARDS, {})
    (fold,) = step.process((request_id(1), [MESSAGE + body, MESSAGE + bus_body(event(1, 1))]))
    assert len(fold.examples) == 1
    assert [(unusable, reason) for unusable, reason, _ in fold.unusable] == [(body, UNDECODABLE)]


def test_a_run_leaves_no_desk_behind_even_if_a_step_fails():
    pipeline = Pipeline(RULES, {"home": None}, {}, 2)  # type: ignore[dict-item]
    with pytest.raises(Exception, match="outcomes"):
        pipeline.run([(request_id(1), MESSAGE + bus_body(event(1, 1)))], AT + 60, 0.0)
    assert _DESKS == {}
