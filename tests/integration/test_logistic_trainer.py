"""A logistic model through the bounded trainer: its batches are examples, learnt once and in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dataflow.publishing import Publisher
from omakase import models
from omakase.adapters.local.training_state import SqliteTrainingState
from omakase.configured import ConfiguredModel
from omakase.core.errors import InvalidInput
from omakase.core.features import FeatureSpec, Numeric
from omakase.core.logistic import LogisticLearner, posterior_of
from omakase.core.posterior import Statistics
from omakase.core.rows import Rows
from omakase.core.slates import Slate
from omakase.repairs.history import Choice
from omakase.repairs.rebuilding import Rebuilder
from omakase.repairs.warm_start import Shown, warm_start
from omakase.snapshots import decode_snapshot
from tests.integration.stage import START
from tests.integration.test_tracking import new_slate
from tests.integration.test_trainer import Desk

SPEC = FeatureSpec((Numeric("price", 0.0, 1.0, 5.0),), (Numeric("age", 0.0, 1.0, 5.0),), "logistic")
LEARNER = LogisticLearner(1, 2)
MODEL = ConfiguredModel("clicks", SPEC, LEARNER)
KEY = MODEL.key
# What became of one item: the slate, its position, the click.
Seen = tuple[Slate, int, float]


class LogisticDesk(Desk):
    """The model is logistic."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        learners = {KEY: LEARNER}
        self.publisher = Publisher(self.store, self.state, self.clock, learners, "embedded", 0.0, lambda: 0.0)
        pipeline = replace(self.trainer.pipeline, learners=learners, widths={KEY: (1, 2)})
        self.trainer = replace(self.trainer, publisher=self.publisher, pipeline=pipeline)

    def see(self, *seen: Seen) -> None:
        """One tick, in which these sessions close."""
        for slate, position, click in seen:
            self.happen(slate, (position, "click" if click else "impression"))
        self.tick(self.clock.now() + 10)

    def learnt(self) -> Statistics:
        found = self.store.latest(KEY)
        return LEARNER.empty() if found is None else decode_snapshot(found[0]).statistics


def slate() -> Slate:
    return replace(new_slate(), model=KEY)


def recursive(*batches: Sequence[Seen]) -> Statistics:
    """What these batches come to, one after the other."""
    state = LEARNER.empty()
    for batch in batches:
        n = len(batch)
        items = np.stack([slate.deliveries[position - 1].item_factor for slate, position, _ in batch])
        contexts = np.stack([slate.context_factor for slate, *_ in batch])
        clicks, nothing = np.array([click for *_, click in batch]), np.full(n, np.nan)
        rows = Rows(contexts, items, np.ones(n), np.full(n, START), clicks, nothing)
        state = LEARNER.absorb(state, replace(LEARNER.empty(), rows=rows))
    return state


def assert_same(found: Statistics, wanted: Statistics) -> None:
    assert (found.examples, found.weight, found.is_logit, found.rows) == (wanted.examples, wanted.weight, True, None)
    assert_allclose(found.precision, wanted.precision, rtol=1e-9)
    assert_allclose(found.outcomes["click"].moment, wanted.outcomes["click"].moment, rtol=1e-6, atol=1e-9)


@pytest.fixture
def desk(tmp_path: Path) -> LogisticDesk:
    return LogisticDesk(tmp_path)


def test_ticks_are_learnt_one_after_the_other_and_what_comes_twice_once(desk):
    first, second = slate(), slate()
    desk.receive(first, second)
    desk.receive(first)
    desk.happen(first, (1, "impression"), (1, "impression"), (2, "click"), (2, "click"))
    desk.tick(START + 10)
    desk.see((second, 1, 0.0), (second, 3, 1.0))
    assert_same(desk.learnt(), recursive([(first, 1, 0.0), (first, 2, 1.0)], [(second, 1, 0.0), (second, 3, 1.0)]))
    LEARNER.believe(desk.learnt())


def test_a_late_click_corrects_and_is_no_second_example(desk):
    one = slate()
    desk.receive(one)
    desk.see((one, 1, 0.0), (one, 2, 0.0))
    before = posterior_of(desk.learnt(), LEARNER.prior_precision).mean[0]
    desk.see((one, 2, 1.0))
    assert desk.learnt().examples == 2
    assert desk.learnt().outcomes["click"].energy == 1.0
    assert posterior_of(desk.learnt(), LEARNER.prior_precision).mean[0] > before + 1.0


def test_dying_between_commit_and_publish_learns_everything_once(desk, tmp_path, monkeypatch):
    first, second = slate(), slate()
    desk.receive(first, second)
    monkeypatch.setattr(Publisher, "publish", lambda *_, **__: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        desk.see((first, 1, 1.0))
    monkeypatch.undo()
    desk.happen(second, (2, "impression"))
    reborn = LogisticDesk(tmp_path)
    reborn.tick(START + 20)
    assert_same(reborn.learnt(), recursive([(first, 1, 1.0)], [(second, 2, 0.0)]))


def test_dying_between_publish_and_noting_it_learns_nothing_twice(desk, tmp_path, monkeypatch):
    one = slate()
    desk.receive(one)
    monkeypatch.setattr(SqliteTrainingState, "settle", lambda *_: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        desk.see((one, 1, 1.0))
    monkeypatch.undo()
    reborn = LogisticDesk(tmp_path)
    assert len(reborn.state.pending()) == 1
    reborn.tick(START + 20)
    assert reborn.state.pending() == []
    assert_same(reborn.learnt(), recursive([(one, 1, 1.0)]))


def test_what_waits_for_a_frozen_model_is_learnt_when_it_is_resumed(desk, monkeypatch):
    monkeypatch.setattr("dataflow.publishing._MANY", 3)
    slates = [slate() for _ in range(5)]
    seen = [(one, 1 + i % 3, float(i % 2)) for i, one in enumerate(slates)]
    desk.receive(*slates)
    for i, one in enumerate(seen):
        desk.see(one)
        if i == 1:
            models.roll_back(desk.store, KEY, None, START)
    assert_same(desk.learnt(), recursive(seen[:1]))
    assert [(batch.first, batch.last) for batch in desk.state.pending()] == [(3, 5)]
    models.resume(desk.store, KEY, START)
    desk.tick(START + 100)
    assert_same(desk.learnt(), recursive(seen[:1], seen[2:]))
    assert desk.state.pending() == []


def test_a_rebuilt_model_believes_what_the_trainer_did_up_to_the_batching(desk):
    """Read at once, the examples are expanded at one mode: the same to a third of a posterior deviation."""
    slates = [slate() for _ in range(6)]
    desk.receive(*slates)
    for half in (slates[:3], slates[3:]):
        desk.see(*((one, 1 + j, float(j % 2)) for j, one in enumerate(half)))
    desk.see((slates[0], 1, 1.0))
    before = posterior_of(desk.learnt(), LEARNER.prior_precision)
    rebuilder = Rebuilder(desk.store, desk.state, desk.warehouse, "embedded")
    rebuilt = [rebuilder.rebuild(KEY, Choice(), MODEL, now=0.0).published.snapshot.statistics for _ in range(2)]
    assert_allclose(rebuilt[0].precision, rebuilt[1].precision, rtol=1e-12)
    after = posterior_of(rebuilt[0], LEARNER.prior_precision)
    deviation = np.linalg.norm(before.deviation_map(), axis=1)
    assert np.abs((after.mean - before.mean) / deviation).max() < 0.3
    assert (desk.learnt().examples, desk.learnt().outcomes["click"].energy) == (6, 3.0)
    desk.see((slates[5], 1, 0.0))
    assert desk.learnt().examples == 7


def test_without_its_configuration_a_logistic_model_is_not_rebuilt_as_a_linear_one(desk):
    one = slate()
    desk.receive(one)
    desk.see((one, 1, 1.0))
    rebuilder = Rebuilder(desk.store, desk.state, desk.warehouse, "embedded")
    with pytest.raises(InvalidInput, match="--config"):
        rebuilder.rebuild(KEY, Choice(), None, now=0.0)
    assert_same(desk.learnt(), recursive([(one, 1, 1.0)]))


def test_a_model_that_is_no_longer_configured_learns_the_rest_as_what_it_is(desk, tmp_path):
    first, second = slate(), slate()
    desk.receive(first, second)
    desk.see((first, 1, 1.0))
    plain = Desk(tmp_path)
    desk.happen(second, (2, "impression"))
    plain.tick(START + 20)
    assert_same(desk.learnt(), recursive([(first, 1, 1.0)], [(second, 2, 0.0)]))


def test_a_log_is_learnt_chunk_after_chunk_and_joins_what_the_trainer_learns(desk, monkeypatch):
    monkeypatch.setattr("omakase.repairs.warm_start.CHUNK", 20)
    rng = np.random.default_rng(2)
    contexts, items = (rng.normal(size=(50, n)).astype(np.float32) for n in (1, 2))
    items[:, 0] = 1.0
    clicks, at = (rng.random(50) < 0.3).astype(float), START + np.arange(50.0)
    columns = zip(contexts, items, clicks, at, strict=True)
    shown = [Shown(context, item, click, click, 1.0, when) for context, item, click, when in columns]
    warm_start(desk.store, MODEL, "warm-start:a", shown, now=0.0)
    state, nothing = LEARNER.empty(), np.full(50, np.nan)
    for some in (slice(0, 20), slice(20, 40), slice(40, 50)):
        rows = Rows(contexts[some], items[some], np.ones(50)[some], at[some], clicks[some], nothing[some])
        state = LEARNER.absorb(state, replace(LEARNER.empty(), rows=rows))
    assert_same(desk.learnt(), state)
    warm_start(desk.store, MODEL, "warm-start:b", shown, now=0.0)
    assert_same(desk.learnt(), state + state)
