"""Slates against a brute-force reference: whatever the draws, caps and pins."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from omakase.core.choices import Cap, Choice, Rules
from omakase.core.filling import fill, fill_many
from omakase.core.policies import Draws

NOT_A_NUMBER = float("nan")


def slate(draws: Draws, choice: Choice, which: int) -> list[int]:
    """Slot by slot, each time over all items."""
    worth = draws.scores[which] * (1.0 if choice.values is None else choice.values)
    pins: dict[int, int] = {}
    for position in sorted(choice.rules.pinned):
        item = choice.rules.pinned[position]
        if position <= choice.k and choice.eligible[item] and item not in pins.values():
            pins[position - 1] = item
    taken, shown = list(pins.values()), []
    for slot in range(choice.k):
        if slot in pins:
            shown.append(pins[slot])
            continue
        row = worth[0 if draws.rows is None else draws.rows[which, slot]]
        left = [
            item
            for item in range(row.size)
            if choice.eligible[item]
            and item not in taken
            and all(
                cap.codes[item] < 0 or sum(cap.codes[other] == cap.codes[item] for other in taken) < cap.most
                for cap in choice.rules.caps
            )
        ]
        if left:
            item = max(left, key=lambda item: (-np.inf if np.isnan(row[item]) else row[item], -item))
            taken.append(item)
            shown.append(item)
    return shown


@st.composite
def fillings(draw: st.DrawFn) -> tuple[Draws, Choice]:
    n, k, rows = draw(st.integers(1, 14)), draw(st.integers(1, 8)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = rng.integers(-3, 4, size=(3, rows, n)).astype(np.float32)
    scores[rng.random(scores.shape) < draw(st.sampled_from([0.0, 0.3]))] = NOT_A_NUMBER
    caps = tuple(
        Cap(rng.integers(-1, 3, size=n).astype(np.int32), draw(st.integers(1, 3)))
        for _ in range(draw(st.integers(0, 2)))
    )
    pinned = draw(st.dictionaries(st.integers(1, 9), st.integers(0, n - 1), max_size=3))
    values = rng.random(n).astype(np.float32) if draw(st.booleans()) else None
    per_slot = rng.integers(0, rows, size=(3, k)) if draw(st.booleans()) else None
    eligible = rng.random(n) < draw(st.sampled_from([0.3, 0.9, 1.0]))
    return Draws(scores, per_slot), Choice(eligible, k, values, Rules(caps, pinned, per_slot is not None))


@settings(max_examples=200)
@given(fillings())
def test_one_slate_and_many_are_those_of_brute_force(filling: tuple[Draws, Choice]) -> None:
    draws, choice = filling
    many = fill_many(draws, choice)
    assert many.shape == (3, choice.k)
    for which in range(3):
        wanted = slate(draws, choice, which)
        indices, scores = fill(draws, choice, which)
        assert indices.tolist() == wanted
        assert many[which].tolist() == wanted + [-1] * (choice.k - len(wanted))
        rows = [0] * choice.k if draws.rows is None else draws.rows[which].tolist()
        if len(wanted) == choice.k:  # where pins move up, they keep the scores of their own slots
            np.testing.assert_array_equal(scores, draws.scores[which][rows, indices])
