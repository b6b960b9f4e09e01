"""How likely a slate was: P(item at its position | context) under the policy that served it, counted.

Where a policy has no formula, fresh draws are made, independent of the one that served, and each position waits for its
own item to turn up K times: after N draws K/N stands for its probability p, and N/K is an unbiased estimate of 1/p,
which is what logged outcomes are weighed by. (K - 1)/(N - 1) is an unbiased estimate of p itself.

A rare item would be waited for without end, so draws end at M. A position that has x < K occurrences by then is capped,
and (x + 1)/(M + 1) stands for p. Of capped and other rows taken together the reciprocal has the mean
(1 - (1 - p)^(M + 1)) / p: 1/p, short of it by the share (1 - p)^(M + 1), whatever K is. To leave capped rows out, or to
take x/M for them, is not harmless: the first leaves out what is rare, the second divides by zero.

All positions look at one stream of draws. Each stops by its own item alone, so each has the law of a count by itself;
only that they are not independent of each other. Who stopped all of them when the first is ready would know of each
position how soon another one's item came, and would be biased.

Source: Haldane, "On a method of estimating frequencies", Biometrika 33, 1945, for N and K. For capped rows: Girshick,
Mosteller & Savage, "Unbiased estimates for certain binomial sampling problems", Ann. Math. Stat. 17, 1946: where c of
all walks end as this one did, and c' of those that start one draw and one occurrence earlier, E[c'/c] is 1/p times the
probability that the longer walk ends where a shorter one can, which is all but M + 1 draws without an occurrence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidInput
from omakase.core.ids import MAX_POSITION, RequestId


@dataclass(frozen=True, slots=True)
class Stopping:
    """When enough was drawn for a position: at so many occurrences of its item, or at so many draws.

    More occurrences make an estimate surer: its relative variance is (1 - p)/occurrences. More draws make it less
    biased. `max_draws` must be known before the first draw.
    """

    occurrences: int
    max_draws: int

    def __post_init__(self) -> None:
        if not 1 <= self.occurrences <= self.max_draws:
            raise InvalidInput("count to at least one occurrence, and in at least as many draws")


@dataclass(frozen=True, slots=True)
class Propensities:
    """What was counted of one slate, by position, the first of which is 1.

    Shapes: all (k,). `propensity` is what stands for p; `draws` is how many were made until the position had its
    occurrences or was capped, 0 where p is known by itself.
    """

    propensity: NDArray[np.float64]
    draws: NDArray[np.int64]
    occurrences: NDArray[np.int64]
    is_capped: NDArray[np.bool_]

    def __post_init__(self) -> None:
        sizes = {column.shape for column in (self.propensity, self.draws, self.occurrences, self.is_capped)}
        if len(sizes) != 1 or self.propensity.ndim != 1 or self.propensity.size > MAX_POSITION:
            raise InvalidInput(f"propensities are of 0 to {MAX_POSITION} positions, each with its draws")
        if not (np.all(self.propensity > 0.0) and np.all(self.propensity <= 1.0)):
            raise InvalidInput("a propensity is above 0 and at most 1")
        if np.any(self.occurrences > self.draws):
            raise InvalidInput("an item cannot occur more often than is drawn")

    @property
    def is_exact(self) -> NDArray[np.bool_]:
        """Where p was known, and not counted."""
        exact: NDArray[np.bool_] = self.draws == 0
        return exact


@dataclass(frozen=True, slots=True)
class SlatePropensities:
    """The propensities of the slate that has this id."""

    request_id: RequestId
    positions: Propensities
