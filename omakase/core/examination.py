"""How likely the positions of a slate are looked at, and how that is told from clicks.

In the position-based model P(click | item, context, position) = e(position) · relevance(item, context). What is served
records e: it multiplies the item factor and the predicted click. x is linear in the item factor, so a linear model adds
A += e²·xxᵀ and b += e·y·x and learns the relevance: the third slot's silence is no dislike. Only ratios of e can be
told from clicks, so the first position has 1, and what is learnt is what an item is worth there.

Source: Lagrée, Vernade & Cappé, "Multiple-Play Bandits in the Position-Based Model", NIPS 2016, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidInput
from omakase.core.ids import MAX_POSITION

Vector = NDArray[np.float64]

LEAST = 0.01
# What is not known is taken for 1: with so many clicks expected at a position, halfway.
_PRIOR_CLICKS = 50.0
_MOST_STEPS = 500
_STILL = 1e-7


@dataclass(frozen=True, slots=True)
class Examination:
    """The probability that each position is looked at, given that the first is; the last stands for all further ones.

    Raises: InvalidInput unless the first is 1 and all are LEAST to 1.
    """

    shares: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not self.shares or self.shares[0] != 1.0:
            raise InvalidInput("examination is relative to the first position: it must begin with 1")
        if len(self.shares) > MAX_POSITION:
            raise InvalidInput(f"a slate has at most {MAX_POSITION} positions, not {len(self.shares)}")
        if not all(LEAST <= share <= 1.0 for share in self.shares):
            raise InvalidInput(f"examination must be {LEAST:g} to 1 at every position")

    @property
    def is_certain(self) -> bool:
        """Whether all positions are alike."""
        return all(share == 1.0 for share in self.shares)

    def of_first(self, k: int) -> Vector:
        """Of the first k positions. Shapes: (k,)."""
        shares = self.shares[:k]
        return np.array(shares + shares[-1:] * (k - len(shares)), dtype=np.float64)


CERTAIN = Examination()


@dataclass(frozen=True, slots=True)
class Looks:
    """What happened to items at positions: a row for each of both that came together.

    `groups` names the item: rows of one group are of one item, predicted in the same way. `expected` sums what was
    predicted of each impression, had it been at the first position; a count of impressions where nothing was.
    Shapes: all (r,). Units: positions count from 1.
    """

    groups: NDArray[np.intp]
    positions: NDArray[np.intp]
    clicks: Vector
    expected: Vector

    def __post_init__(self) -> None:
        if (self.groups < 0).any() or ((self.positions < 1) | (self.positions > MAX_POSITION)).any():
            raise InvalidInput(f"groups begin with 0, and positions are 1 to {MAX_POSITION}")
        both = np.concatenate([self.clicks, self.expected])
        if not np.isfinite(both).all() or (both < 0).any():
            raise InvalidInput("clicks and what was expected must be finite and not negative")


def estimate(looks: Looks) -> Examination:
    """The examination that the clicks speak for.

    clicks(item, position) ~ Poisson(a(item) · e(position) · expected(item, position)), and of this likelihood, with a
    Gamma prior on each e whose mode is 1 and whose weight is 50 expected clicks, the maximum: by turns a given e, and e
    given a, each in closed form, which never falls. The factor a takes up what an item's predictions are wrong by, so
    that e is told only from items that were shown at several positions; what position bias a model has learnt into an
    item is not taken for relevance. With uniform slates and no predictions this is the ratio of click rates, items made
    equal. Where a model shows an item first to those who like it, it rests on the predictions for those people.

    Source: the position-based model's alternating maximum likelihood, as in Wang, Golbandi, Bendersky, Metzler &
    Najork, "Position Bias Estimation for Unbiased Learning to Rank in Personal Search", WSDM 2018, section 4
    (regression-EM). Here clicks are rare, so that Poisson stands for Bernoulli and nothing hidden is left to expect;
    the relevance is what was predicted, up to a factor for each item, and the prior is ours.
    Guarantees: the order of rows is nothing to it; nothing keeps e from rising again at a later position. Positions
    without rows have 1, but for those behind the last. Cost: O(r) a step, at most 500.
    """
    known = looks.expected > 0
    if not known.any():
        return CERTAIN
    groups, places = looks.groups[known], looks.positions[known] - 1
    clicks, expected = looks.clicks[known], looks.expected[known]
    last = int(places.max()) + 1
    of_groups, of_places = np.bincount(groups, clicks), np.bincount(places, clicks, last)
    e = np.ones(last)
    for _ in range(_MOST_STEPS):
        hoped = np.bincount(groups, expected * e[places])
        a = np.divide(of_groups, hoped, out=np.zeros_like(hoped), where=hoped > 0)
        after = (of_places + _PRIOR_CLICKS) / (np.bincount(places, expected * a[groups], last) + _PRIOR_CLICKS)
        after[0] = 1.0
        step, e = float(np.abs(after - e).max()), after
        if step < _STILL:
            break
    return Examination(_rounded(np.clip(e, LEAST, 1.0)))


def _rounded(e: Vector) -> tuple[float, ...]:
    """To a thousandth: what follows is noise, and would make every run's another one."""
    rounded: Sequence[float] = np.round(e, 3).tolist()
    return tuple(rounded)
