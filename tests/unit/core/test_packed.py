"""Packed pieces: what goes in comes out, and who holds an older one sees nothing of what came later."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omakase.core import packed
from omakase.core.packed import Packed

pieces = st.lists(st.binary(max_size=5), max_size=300)


def of(given_: list[bytes]) -> Packed:
    made = Packed()
    for piece in given_:
        made.append(piece)
    return made


@given(pieces, st.dictionaries(st.integers(0, 299), st.binary(max_size=5), max_size=20), pieces)
def test_is_the_list_of_pieces_whatever_was_changed_and_added(first, changed, added) -> None:
    changed = {i: piece for i, piece in changed.items() if i < len(first)}
    older = of(first)
    newer = older.amended(changed)
    for piece in added:
        newer.append(piece)
    expected = [changed.get(i, piece) for i, piece in enumerate(first)] + added
    assert [newer[i] for i in range(len(newer))] == expected
    assert [older[i] for i in range(len(older))] == first
    assert newer.continues(older) is (expected[: len(first)] == first)
    joined = [(piece, sizes.tolist()) for piece, sizes in newer.stretches()]
    assert b"".join(piece for piece, _ in joined) == b"".join(expected)
    assert [size for _, sizes in joined for size in sizes] == [len(piece) for piece in expected]


def test_shares_the_blocks_in_which_nothing_has_changed() -> None:
    older = of([b"%d" % i for i in range(10 * packed._SIZE)])
    newer = older.amended({packed._SIZE: b"other"})
    shared = [mine is its for mine, its in zip(newer._blocks, older._blocks, strict=True)]
    assert shared == [True, False, *[True] * 8]


def test_there_is_nothing_behind_the_last() -> None:
    for size in (0, 1, packed._SIZE, packed._SIZE + 1):
        with pytest.raises(IndexError):
            of([b"x"] * size)[size]


def test_a_shorter_one_does_not_continue_a_longer_one() -> None:
    long = of([b"x"] * (packed._SIZE + 2))
    assert long.continues(of([b"x"] * (packed._SIZE + 1)))
    assert not of([b"x"] * (packed._SIZE + 1)).continues(long)
    assert not of([b"x"] * packed._SIZE + [b"y"]).continues(of([b"x"] * (packed._SIZE + 1)))
