"""What a slate's rules do, by example, and how many items a long catalogue makes it look at."""

from __future__ import annotations

import numpy as np

from omakase.core.catalogue import Catalogue, Item
from omakase.core.choices import Cap, Choice, Layout, Rules, kinds_of
from omakase.core.filling import fill, fill_many
from omakase.core.policies import Draws

SCORES = np.array([[[6, 5, 4, 3, 2, 1]]], dtype=np.float32)
ALL = np.ones(6, dtype=np.bool_)
# Three of one kind first, two of none, one of another.
KINDS = np.array([0, 0, 0, -1, -1, 1], dtype=np.int32)


def filled(k: int, eligible: np.ndarray = ALL, **rules: object) -> list[int]:
    draws, choice = Draws(SCORES), Choice(eligible, k, rules=Rules(**rules))  # type: ignore[arg-type]
    indices, scores = fill(draws, choice)
    assert scores.tolist() == SCORES[0, 0, indices].tolist()
    assert [i for i in fill_many(draws, choice)[0].tolist() if i >= 0] == indices.tolist()
    return [int(i) for i in indices]


def test_a_cap_passes_over_items_of_a_kind_and_never_those_of_none() -> None:
    assert filled(4, caps=(Cap(KINDS, 1),)) == [0, 3, 4, 5]
    assert filled(4, caps=(Cap(KINDS, 2),)) == [0, 1, 3, 4]


def test_a_slate_is_shorter_where_caps_leave_too_little() -> None:
    assert filled(3, KINDS == 0, caps=(Cap(KINDS, 1),)) == [0]


def test_a_pinned_item_has_its_position_and_no_other() -> None:
    assert filled(3, pinned={2: 5}) == [0, 5, 1]
    assert filled(3, pinned={3: 0}) == [1, 2, 0]


def test_a_pin_that_may_not_be_shown_or_that_no_slot_reaches_leaves_the_slot_to_the_others() -> None:
    sold_out = ALL.copy()
    sold_out[5] = False
    assert filled(3, sold_out, pinned={2: 5}) == [0, 1, 2]
    assert filled(3, pinned={4: 0}) == [0, 1, 2]


def test_a_pinned_item_counts_towards_a_cap_and_goes_before_it() -> None:
    assert filled(3, pinned={3: 2}, caps=(Cap(KINDS, 1),)) == [3, 4, 2]
    assert filled(3, pinned={1: 1, 2: 2}, caps=(Cap(KINDS, 1),)) == [1, 2, 3]


def test_pins_move_up_to_the_end_of_a_slate_that_is_too_short() -> None:
    few = ALL.copy()
    few[1:5] = False
    assert filled(4, few, pinned={3: 5}) == [0, 5]


def test_a_catalogue_without_items_makes_an_empty_slate_whatever_the_rules() -> None:
    nothing, choice = np.empty((1, 3, 0), dtype=np.float32), Choice(ALL[:0], 3, rules=Rules(is_per_slot=True))
    draws = Draws(nothing, np.array([[0, 1, 2]]))
    assert fill(draws, choice)[0].size == 0


def test_each_slot_is_filled_by_its_own_row() -> None:
    scores = np.array([[[3, 2, 1], [1, 2, 3], [1, 3, 2]]], dtype=np.float32)
    draws = Draws(scores, np.array([[0, 1, 2]]))
    choice = Choice(np.ones(3, dtype=np.bool_), 3, rules=Rules(is_per_slot=True))
    indices, drawn = fill(draws, choice)
    assert indices.tolist() == [0, 2, 1]
    assert drawn.tolist() == [3, 3, 3]
    assert fill_many(draws, choice).tolist() == [[0, 2, 1]]


def test_values_rank_and_scores_stay_as_drawn() -> None:
    choice = Choice(ALL, 2, np.array([0, 0, 1, 1, 1, 9], dtype=np.float32))
    indices, scores = fill(Draws(SCORES), choice)
    assert indices.tolist() == [5, 2]
    assert scores.tolist() == [1, 4]


def test_a_long_catalogue_whose_best_are_all_of_one_kind_is_filled_from_the_rest() -> None:
    n = 50_000
    scores = np.arange(n, 0, -1, dtype=np.float32)[np.newaxis, np.newaxis]
    codes = np.zeros(n, dtype=np.int32)
    codes[40_000:] = 1 + np.arange(10_000) % 7
    choice = Choice(np.ones(n, dtype=np.bool_), 5, rules=Rules((Cap(codes, 2),)))
    wanted = [0, 1, 40_000, 40_001, 40_002]
    assert fill(Draws(scores), choice)[0].tolist() == wanted
    assert fill_many(Draws(np.concatenate([scores, scores])), choice).tolist() == [wanted, wanted]


CATALOGUE = Catalogue(
    [
        Item("a", {"category": "coats"}),
        Item("b", {"category": ("coats", "wool")}),
        Item("c", {"category": ("wool", "coats")}),
        Item("d", {"price": 9.5}),
        Item("e", {"category": ()}),
        Item("f", {"category": True}),
        Item("g", {"category": 1.0}),
    ]
)


def test_an_item_is_of_the_kind_of_its_first_word_and_of_none_without_the_fact() -> None:
    kinds = kinds_of(CATALOGUE, "category").tolist()
    assert kinds[0] == kinds[1] != kinds[2]
    assert kinds[3] == kinds[4] == -1
    assert len({kinds[0], kinds[2], kinds[5], kinds[6]}) == 4


def test_a_layout_says_which_of_its_caps_and_pins_have_no_effect() -> None:
    rules, complaints = Layout({"category": 2, "colour": 1}, {1: "c", 2: "gone"}, True).over(CATALOGUE)
    assert [cap.most for cap in rules.caps] == [2]
    assert rules.pinned == {1: 2}
    assert rules.is_per_slot
    assert complaints == [
        "there is no cap: no item has the fact 'colour'; known: category, price",
        "nothing is pinned to 2: no item 'gone'",
    ]
