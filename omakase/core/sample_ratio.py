"""Whether people are in the arms in the proportions they were dealt in.

If not, who is counted depends on the arm: people are lost before they are counted, or dealt wrongly, and no difference
between the arms means anything. It is the first thing to look at, and often the only one.

Source: Fabijan et al., "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", KDD 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scipy.special import chdtrc

from omakase.core.errors import InvalidInput

# One check in a thousand is off by chance: low enough to look every day, and what is broken is far below it.
LIMIT = 0.001
# Pearson's statistic has its distribution from about this many expected people an arm.
_LEAST_EXPECTED = 5.0


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """The people of each arm, how many there should be, and how likely chance puts them this far apart or further.

    p_value is None where there are too few people or arms to tell.
    """

    people: Mapping[str, int]
    expected: Mapping[str, float]
    p_value: float | None

    @property
    def is_off(self) -> bool:
        return self.p_value is not None and self.p_value < LIMIT

    @property
    def worst(self) -> str:
        """The arm that is furthest from its share, by Pearson's residual. Raises: InvalidInput if there is none."""
        if not self.expected:
            raise InvalidInput("no arm has a share")
        return max(self.expected, key=lambda arm: (self.people[arm] - self.expected[arm]) ** 2 / self.expected[arm])


def check_sample_ratio(people: Mapping[str, int], shares: Mapping[str, float]) -> SampleRatio:
    """Pearson's chi-square of the people in the arms that have a share against the shares; only their ratios count.

    Arms without a share are left out: who is still in one was dealt before it lost its share.
    """
    shares = {arm: share for arm, share in shares.items() if share > 0}
    counted = {arm: people.get(arm, 0) for arm in shares}
    total, whole = sum(counted.values()), sum(shares.values())
    expected = {arm: total * share / whole for arm, share in shares.items()}
    if len(shares) < 2 or min(expected.values()) < _LEAST_EXPECTED:
        return SampleRatio(counted, expected, None)
    chi_square = sum((counted[arm] - expected[arm]) ** 2 / expected[arm] for arm in shares)
    return SampleRatio(counted, expected, float(chdtrc(len(shares) - 1, chi_square)))
