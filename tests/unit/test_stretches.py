"""Since when people have been dealt as they are now."""

from __future__ import annotations

import pytest

from omakase.adapters.local.model_store import FileModelStore
from omakase.allocations import KEY, Allocations, encode
from omakase.core.allocation import Allocation, Schedule
from omakase.ports.model_store import ABSENT
from omakase.stretches import Stretch, ledgers, newest_stretch

ARMS = ("control", "treatment")


def dealt(since: float, shares: dict[str, int], *changes: tuple[float, dict[str, int]], salt: str = "s") -> Schedule:
    return Schedule.of(Allocation.fresh(salt, shares), changes, since)


def even(share: int) -> dict[str, int]:
    return {"control": share, "treatment": share}


def test_it_begins_with_the_newest_change_of_proportions() -> None:
    history = [dealt(200.0, even(500)), dealt(100.0, {"control": 900, "treatment": 100})]
    assert newest_stretch(history, ARMS, 300.0) == Stretch(even(500), 200.0)


def test_a_ramp_ends_none_for_all_arms_grow_alike() -> None:
    ramped = dealt(100.0, even(5), (200.0, even(50)), (300.0, even(500)))
    assert newest_stretch([ramped], ARMS, 250.0) == Stretch(even(50), 100.0)
    assert newest_stretch([ramped], ARMS, 350.0) == Stretch(even(500), 100.0)


def test_a_ramp_that_begins_with_nobody_begins_with_its_first_people() -> None:
    ramped = dealt(100.0, {}, (200.0, even(50)), (300.0, even(500)))
    assert newest_stretch([ramped], ARMS, 400.0) == Stretch(even(500), 200.0)


def test_what_happens_to_other_experiments_of_the_layer_ends_none() -> None:
    history = [
        dealt(300.0, {**even(500), "other": 90}),
        dealt(200.0, {**even(500), "other": 10}),
        dealt(100.0, even(500)),
    ]
    assert newest_stretch(history, ARMS, 400.0) == Stretch(even(500), 100.0)


def test_another_salt_deals_people_anew() -> None:
    history = [dealt(200.0, even(500), salt="new"), dealt(100.0, even(500))]
    assert newest_stretch(history, ARMS, 300.0).since == 200.0


def test_a_schedule_that_was_replaced_counts_until_then_only() -> None:
    replaced = dealt(100.0, even(500), (250.0, {"control": 1, "treatment": 9}))
    assert newest_stretch([dealt(200.0, even(500)), replaced], ARMS, 300.0).since == 100.0


def test_a_schedule_that_is_in_several_ledgers_counts_once() -> None:
    schedule = dealt(100.0, even(50), (200.0, {"control": 10, "treatment": 90}))
    assert newest_stretch([schedule, schedule], ARMS, 300.0) == Stretch({"control": 10, "treatment": 90}, 200.0)


def test_of_an_experiment_that_ended_it_is_the_last_in_which_it_had_people() -> None:
    history = [dealt(300.0, {}), dealt(200.0, even(500)), dealt(100.0, {"control": 1, "treatment": 9})]
    assert newest_stretch(history, ARMS, 400.0) == Stretch(even(500), 200.0)


@pytest.mark.parametrize("history", [[], [dealt(100.0, {"other": 5})], [dealt(900.0, even(500))]])
def test_arms_that_never_had_anybody_have_no_share_since_ever(history) -> None:
    assert newest_stretch(history, ARMS, 500.0) == Stretch(even(0), 0.0)


def test_ledgers_are_read_newest_first_and_damaged_ones_left_out(tmp_path) -> None:
    store, generation = FileModelStore(tmp_path), ABSENT
    kept = [Allocations({"home": dealt(float(since), even(since))}) for since in (1, 2, 3)]
    for allocations in kept:
        generation = store.publish(KEY, encode(allocations), if_generation=generation)
    assert list(ledgers(store)) == kept[::-1]
    (damaged,) = tmp_path.rglob("2.snapshot")
    damaged.write_bytes(b"rotten")
    assert list(ledgers(store)) == [kept[2], kept[0]]
