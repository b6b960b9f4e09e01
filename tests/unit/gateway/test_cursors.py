"""Cursors: what was shown, sealed for one person at one placement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cursors import new_cursor, shown_before
from omakase.core.errors import InvalidInput
from omakase.core.ids import Keyring, Pseudonym

RING = Keyring({1: b"k" * 32}, 1, b"p" * 32)
ANNA, BEN = Pseudonym("anna"), Pseudonym("ben")


@given(st.lists(st.text(max_size=20), max_size=30))
def test_a_cursor_gives_back_what_was_shown(shown):
    assert shown_before(RING, "home", ANNA, new_cursor(RING, "home", ANNA, shown)) == shown


def test_an_empty_cursor_is_a_beginning():
    assert shown_before(RING, "home", ANNA, "") == []


@pytest.mark.parametrize(
    ("placement", "person", "change"),
    [
        ("cart", ANNA, lambda cursor: cursor),
        ("home", BEN, lambda cursor: cursor),
        ("home", ANNA, lambda cursor: cursor[:-1]),
        ("home", ANNA, lambda cursor: "A" + cursor[1:] if cursor[0] != "A" else "B" + cursor[1:]),
        ("home", ANNA, lambda cursor: cursor + "é"),
        ("home", ANNA, lambda _: "é"),
        ("home", ANNA, lambda _: "A" * 22),
    ],
)
def test_a_cursor_of_somebody_else_or_of_nobody_is_refused(placement, person, change):
    cursor = change(new_cursor(RING, "home", ANNA, ["i1"]))
    with pytest.raises(InvalidInput, match="cursor"):
        shown_before(RING, placement, person, cursor)
