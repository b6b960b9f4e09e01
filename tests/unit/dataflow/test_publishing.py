"""Batches into models, over the real stores, at the pace of a clock that the test moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataflow.publishing import Publisher, batch_of
from omakase import models
from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.model_store import FileModelStore
from omakase.adapters.local.training_state import SqliteTrainingState
from omakase.core.calibration import Calibration
from omakase.core.posterior import Statistics
from omakase.ports.model_store import ABSENT, ModelKey
from omakase.ports.training_state import Progress, Tick

KEY, OTHER = ModelKey("home/abc"), ModelKey("basket/x")
INTERVAL_S = 2.0


class Desk:
    """A publisher, and the trainer that feeds it."""

    def __init__(
        self, directory: Path, max_click_rate_ratio: float | None = None, intervals: dict[str, float] | None = None
    ) -> None:
        self.store = FileModelStore(directory / "models")
        self.state = SqliteTrainingState(directory / "training.db")
        self.clock = MappedClock.create(directory / "clock", 1000.0)
        self.monotonic = 0.0
        pace = INTERVAL_S, lambda: self.monotonic, max_click_rate_ratio, intervals
        self.publisher = Publisher(self.store, self.state, self.clock, {}, "embedded", *pace)

    def learn(self, *keys: ModelKey, n: int = 1, d: int = 2) -> None:
        sums = Statistics.of(np.ones((n, d)), {"click": np.zeros(n), "reward": np.zeros(n)}, np.ones(n))
        done = self.state.progress()
        number = done.number + 1
        batches = [batch_of(key, sums, (float(number),), done.sequences.get(key, 0) + 1) for key in keys]
        self.state.commit(Tick(Progress(number), {}, batches=batches))

    def take_back(self, key: ModelKey) -> None:
        sums = Statistics.retraction(np.ones(2), 1.0, {"click": 0.0, "reward": 0.0})
        done = self.state.progress()
        batch = batch_of(key, sums, (), done.sequences.get(key, 0) + 1)
        self.state.commit(Tick(Progress(done.number + 1), {}, batches=[batch]))

    def see(self, clicks: int, predicted: float, n: int = 1000, since: float | None = None) -> None:
        """A batch of examples, served now or `since`."""
        outcome = np.array([1.0] * clicks + [0.0] * (n - clicks))
        sums = Statistics.of(np.ones((n, 2)), {"click": outcome, "reward": outcome}, np.ones(n))
        done = self.state.progress()
        served_at = self.clock.now() if since is None else since
        found = Calibration(n, predicted, clicks, served_at)
        batch = batch_of(KEY, sums, (), done.sequences.get(KEY, 0) + 1, calibration=found)
        self.state.commit(Tick(Progress(done.number + 1), {}, batches=[batch]))
        self.publish_at(self.monotonic + INTERVAL_S)

    def publish_at(self, monotonic: float, *, at_once: bool = False) -> None:
        self.monotonic = monotonic
        self.publisher.publish(at_once=at_once)

    def found(self, key: ModelKey = KEY) -> tuple[int, int]:
        """Generation and examples."""
        newest = models.newest(self.store, key)
        return newest.generation, newest.snapshot.statistics.examples


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_model_with_an_interval_of_its_own_waits_for_that(tmp_path):
    desk = Desk(tmp_path, intervals={OTHER: 10.0})
    for monotonic in (0.0, 2.0, 9.9, 12.0):
        desk.learn(KEY, OTHER)
        desk.publish_at(monotonic)
        assert desk.found(KEY)[1] == desk.state.progress().number
        assert desk.found(OTHER) == ((2, 4) if monotonic == 12.0 else (1, 1))


def test_the_first_batch_is_published_at_once(desk):
    desk.learn(KEY, n=3)
    desk.publish_at(0.0)
    assert desk.found() == (1, 3)
    assert desk.state.pending() == []


def test_a_model_is_published_at_most_once_in_its_interval_and_nothing_waits_longer(desk):
    generations = []
    for step in range(21):
        desk.learn(KEY)
        desk.publish_at(step * 0.5)
        generations.append(desk.found()[0])
    assert generations == [1 + step // 4 for step in range(21)]
    assert desk.found() == (6, 21)


def test_models_are_paced_each_by_itself(desk):
    desk.learn(KEY)
    desk.publish_at(0.0)
    desk.learn(KEY, OTHER)
    desk.publish_at(1.0)
    assert (desk.found(), desk.found(OTHER)) == ((1, 1), (1, 1))
    desk.publish_at(2.0)
    assert desk.found() == (2, 2)


def test_a_drain_does_not_wait(desk):
    for _ in range(3):
        desk.learn(KEY)
        desk.publish_at(0.0, at_once=True)
    assert desk.found() == (3, 3)


def test_without_batches_nothing_is_written(desk):
    desk.publish_at(0.0)
    assert desk.store.keys() == []


def test_what_waits_for_a_model_that_refuses_stays_small_and_is_learnt_once_the_sums_are_right_again(desk):
    """What was taken back had been given up by a rollback: there is less than nothing of it for a while."""
    desk.learn(KEY, n=3)
    desk.publish_at(0.0)
    for step in range(1, 40):
        desk.take_back(KEY)
        desk.publish_at(step * INTERVAL_S)
    assert len(desk.state.pending()) < 35
    assert desk.found()[1] <= 3
    desk.learn(KEY, n=100)
    desk.publish_at(100.0)
    assert desk.state.pending() == []
    assert desk.found()[1] == 3 - 39 + 100


def test_a_model_that_refuses_does_not_hold_up_the_others(desk, caplog):
    desk.store.publish(OTHER, b"nonsense", if_generation=ABSENT)
    desk.learn(OTHER, KEY)
    desk.publish_at(0.0)
    assert desk.found() == (1, 1)
    assert [batch.key for batch in desk.state.pending()] == [OTHER]
    assert "model basket/x waits with its batches" in caplog.text


def test_batches_that_do_not_fit_their_model_wait_and_leave_it_as_it_is(desk, caplog):
    desk.learn(KEY, d=2)
    desk.publish_at(0.0)
    desk.learn(KEY, d=3)
    desk.publish_at(10.0)
    assert desk.found() == (1, 1)
    assert len(desk.state.pending()) == 1
    assert "dimensions" in caplog.text


def test_where_the_store_lost_snapshots_learning_goes_on_and_says_so(desk, caplog):
    desk.learn(KEY)
    desk.publish_at(0.0)
    desk.learn(KEY)
    desk.state.settle(KEY, 2, 1, 0.0)
    desk.learn(KEY)
    desk.publish_at(10.0)
    assert desk.found() == (2, 2)
    assert desk.state.pending() == []
    assert f"the store lost what {KEY} had learnt in batches 2 to 2" in caplog.text


def test_a_frozen_model_keeps_its_batches_until_it_is_resumed(desk):
    for step in range(2):
        desk.learn(KEY)
        desk.publish_at(step * INTERVAL_S)
    models.roll_back(desk.store, KEY, None, now=0.0)
    for step in range(2, 5):
        desk.learn(KEY)
        desk.publish_at(step * INTERVAL_S)
    assert desk.found() == (3, 1)
    models.resume(desk.store, KEY, now=0.0)
    desk.publish_at(100.0)
    assert desk.found() == (5, 4)
    assert models.newest(desk.store, KEY).snapshot.sequences == {"embedded": 5}


def test_notes_who_learnt_which_clicks_when(desk):
    desk.learn(KEY)
    desk.learn(KEY)
    desk.clock.move(1234.0)
    desk.publish_at(0.0)
    assert desk.state.publishes() == [(KEY, 1, 1234.0, (1.0, 2.0))]


# Held


@pytest.fixture
def watched(tmp_path: Path) -> Desk:
    """A model of 1000 examples and 50 clicks that has been served for a while, and must not be twice off."""
    desk = Desk(tmp_path, max_click_rate_ratio=2.0)
    desk.see(clicks=50, predicted=0.0)
    desk.clock.move(2000.0)
    return desk


def state_of(desk: Desk) -> tuple[int, bool, str]:
    """Examples, whether it is frozen, and why."""
    snapshot = models.newest(desk.store, KEY).snapshot
    return snapshot.statistics.examples, snapshot.frozen, snapshot.reason


@pytest.mark.parametrize("clicks", [150, 10])
def test_a_model_is_held_loudly_when_clicks_are_far_from_predicted(watched, caplog, clicks):
    watched.see(clicks, predicted=50.0)
    told = f"held: {clicks} clicks observed, 50.0 predicted, on 1000 examples"
    assert state_of(watched) == (1000, True, told)
    assert f"model {KEY} is {told}" in caplog.text
    assert len(watched.state.pending()) == 1


def test_what_is_as_predicted_is_learnt(watched):
    watched.see(clicks=60, predicted=50.0)
    assert state_of(watched) == (2000, False, "learnt")


def test_without_a_bound_nothing_is_held(tmp_path):
    desk = Desk(tmp_path)
    desk.see(clicks=50, predicted=0.0)
    desk.clock.move(2000.0)
    desk.see(clicks=500, predicted=5.0)
    assert state_of(desk) == (2000, False, "learnt")


def test_what_waited_is_learnt_after_resume_and_not_held_again(watched):
    watched.see(clicks=150, predicted=50.0)
    watched.see(clicks=150, predicted=50.0)
    models.resume(watched.store, KEY, now=2001.0)
    watched.see(clicks=150, predicted=50.0)
    assert state_of(watched) == (4000, False, "learnt")
    assert watched.state.pending() == []
    # Served before the recommenders had what was learnt: no news.
    watched.see(clicks=150, predicted=50.0, since=2030.0)
    assert state_of(watched)[1] is False
    watched.see(clicks=150, predicted=50.0, since=2061.0)
    assert state_of(watched)[1] is True


@pytest.mark.parametrize(("n", "clicks"), [(999, 50), (1000, 29)])
def test_an_immature_model_is_not_held(tmp_path, n, clicks):
    desk = Desk(tmp_path, max_click_rate_ratio=2.0)
    desk.see(clicks, predicted=0.0, n=n)
    desk.clock.move(2000.0)
    desk.see(clicks=500, predicted=5.0)
    assert state_of(desk)[1] is False


def test_what_an_immature_model_predicted_is_not_held_against_it_later(tmp_path):
    desk = Desk(tmp_path, max_click_rate_ratio=2.0)
    desk.see(clicks=50, predicted=0.0)
    desk.clock.move(2000.0)
    desk.see(clicks=500, predicted=0.0, since=1059.0)
    assert state_of(desk) == (2000, False, "learnt")


def test_batches_that_are_gathered_keep_what_was_predicted_of_them(watched, monkeypatch):
    monkeypatch.setattr("dataflow.publishing._MANY", 2)
    for _ in range(3):
        watched.see(clicks=150, predicted=50.0)
    (whole,) = watched.state.pending()
    assert whole.calibration == Calibration(3000, 150.0, 450, 2000.0)
