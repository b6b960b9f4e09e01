"""The catalogue: who may be shown, and who was named in vain."""

from __future__ import annotations

import math

import pytest

from omakase.core.catalogue import Catalogue, Item
from omakase.core.errors import InvalidInput

CATALOGUE = Catalogue((Item("a"), Item("b"), Item("gone", in_stock=False), Item("secret", hidden=True)))


def test_without_candidates_everything_that_is_there_may_be_shown() -> None:
    mask, ignored = CATALOGUE.eligible((), None)
    assert mask.tolist() == [True, True, False, False]
    assert ignored == []


def test_candidates_that_cannot_be_shown_are_named_once() -> None:
    mask, ignored = CATALOGUE.eligible((), ["b", "gone", "secret", "unknown", "unknown"])
    assert mask.tolist() == [False, True, False, False]
    assert ignored == ["gone", "secret", "unknown"]


def test_an_empty_list_of_candidates_means_nothing() -> None:
    assert not CATALOGUE.eligible((), [])[0].any()


def test_an_excluded_candidate_is_left_out_and_not_ignored() -> None:
    mask, ignored = CATALOGUE.eligible(["a", "unknown"], ["a", "b"])
    assert mask.tolist() == [False, True, False, False]
    assert ignored == []


def test_asking_changes_nothing_for_the_next_request() -> None:
    CATALOGUE.eligible(["a"], None)
    assert CATALOGUE.eligible((), None)[0][0]


@pytest.mark.parametrize(
    ("item_id", "value"), [("", None), ("x" * 257, None), ("\ud800", None), ("a", math.nan), ("a", math.inf)]
)
def test_an_item_that_cannot_be_is_refused(item_id: str, value: float | None) -> None:
    with pytest.raises(InvalidInput):
        Item(item_id, value=value)
