"""From drawn scores to slates: greedily, slot by slot, no item twice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omakase.core.beliefs import Scores
from omakase.core.choices import Choice
from omakase.core.policies import Draws
from omakase.core.top import Indices, best


def fill(draws: Draws, choice: Choice, which: int = 0) -> tuple[Indices, NDArray[np.float32]]:
    """The slate of one of the draws: the items' indices and the scores that ranked them, as drawn.

    Shapes: both (k,), shorter where fewer items may be shown.
    """
    scores = draws.scores[which]
    worth = scores if choice.values is None else scores * choice.values
    if draws.rows is None and choice.rules.is_plain:
        top = best(worth[0], choice.eligible, choice.k)
        return top, scores[0, top]
    rows = np.zeros(choice.k, dtype=np.intp) if draws.rows is None else draws.rows[which]
    return _by_slot(scores, worth, rows, choice)


def _by_slot(scores: Scores, worth: Scores, rows: NDArray[np.intp], choice: Choice) -> tuple[Indices, Scores]:
    remaining = choice.eligible.copy()
    indices: list[int] = []
    for row in rows.tolist():
        top = best(worth[row], remaining, 1)
        if not top.size:
            break
        indices.append(int(top[0]))
        remaining[top[0]] = False
    chosen = np.array(indices, dtype=np.intp)
    return chosen, scores[rows[: chosen.size], chosen]
