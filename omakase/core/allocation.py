"""Who falls in which arm: 10,000 buckets of people, and how few of them move when shares change.

A person's bucket is a salted hash; an allocation says which arm owns each bucket. Shares are basis points, so a bucket
is one of them and shares are exact. An allocation is made from the one before, and hands over only what an arm has too
many of to arms that have too few: the fewest people that any rule can move, whatever the shares were and become. That
needs the allocation before, which `omakase.allocations` keeps; a rule that knows only the new shares must move up to
twice as many (Bavarian et al., "Optimality of Correlated Sampling", 2016).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256, shake_128

import numpy as np

from omakase.core.errors import InvalidInput

BUCKETS = 10_000
# The owner of buckets that are in no arm.
UNDEALT = ""


def bucket_of(salt: str, unit: str) -> int:
    """The bucket of a person, by pseudonym. Guarantees: independent of the bucket by any other salt. Cost: 1 µs."""
    return int.from_bytes(sha256(f"{salt}\0{unit}".encode()).digest()[:8], "big") % BUCKETS


@dataclass(frozen=True, slots=True)
class Allocation:
    """Which arm owns each bucket. Shapes: `owners` is (10000,); UNDEALT marks what no arm owns."""

    salt: str
    owners: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.owners) != BUCKETS:
            raise InvalidInput(f"an allocation has {BUCKETS} buckets, not {len(self.owners)}")

    @classmethod
    def fresh(cls, salt: str, shares: Mapping[str, int]) -> Allocation:
        """The first allocation. Raises: InvalidInput, see `to`."""
        return cls(salt, (UNDEALT,) * BUCKETS).to(shares)

    @property
    def shares(self) -> dict[str, int]:
        """How many buckets each arm owns. Arms without any are not in it."""
        counts = Counter(self.owners)
        del counts[UNDEALT]
        return dict(counts)

    def owner(self, unit: str) -> str:
        """The arm of a person; UNDEALT if they are in none."""
        return self.owners[bucket_of(self.salt, unit)]

    def to(self, shares: Mapping[str, int]) -> Allocation:
        """The allocation that these shares make of this one. Arms that are not named lose all that they have.

        Guarantees: exactly the fewest buckets move, from arms that lose to arms that gain; a function of this
        allocation and the shares alone, so all who know both agree. The first buckets go first, so that who was let go
        comes back first. Which of several arms gets which bucket is shuffled, so that none inherits the people of one
        that ended.

        Raises: InvalidInput if a share is negative or they are more than everybody. Cost: about 10 ms.
        """
        if any(share < 0 for share in shares.values()) or sum(shares.values()) > BUCKETS:
            raise InvalidInput(f"shares are at least 0 and sum to at most {BUCKETS}")
        before = Counter(self.owners)
        gains = {arm: share - before[arm] for arm, share in shares.items()}
        gains |= {arm: -held for arm, held in before.items() if arm not in shares}
        gains[UNDEALT] = BUCKETS - sum(shares.values()) - before[UNDEALT]
        moving = self._given(gains)
        owners = list(self.owners)
        for arm in sorted(arm for arm, gain in gains.items() if gain > 0):
            moving.sort(key=_ranks(self.salt, arm).__getitem__)
            for bucket in moving[: gains[arm]]:
                owners[bucket] = arm
            del moving[: gains[arm]]
        return Allocation(self.salt, tuple(owners))

    def _given(self, gains: Mapping[str, int]) -> list[int]:
        """The buckets that change hands."""
        given: list[int] = []
        for arm, gain in gains.items():
            if gain < 0:
                given += [bucket for bucket, owner in enumerate(self.owners) if owner == arm][:-gain]
        return given


@dataclass(frozen=True, slots=True)
class Schedule:
    """An allocation, and what it becomes when. Units: `starts` are Unix seconds, ascending, when each later one begins;
    `since` is when the first was settled.

    Shapes: `allocations` has one more than `starts`.
    """

    allocations: tuple[Allocation, ...]
    starts: tuple[float, ...] = ()
    since: float = 0.0

    def __post_init__(self) -> None:
        if len(self.allocations) != len(self.starts) + 1 or list(self.starts) != sorted(set(self.starts)):
            raise InvalidInput("a schedule is an allocation, and others with the moments when they begin, in order")

    @classmethod
    def of(cls, first: Allocation, changes: Iterable[tuple[float, Mapping[str, int]]], since: float = 0.0) -> Schedule:
        """`changes` are the shares from a moment on, in order. Guarantees: each moves the fewest, see `Allocation.to`.

        Raises: InvalidInput.
        """
        allocations, starts = [first], []
        for start, shares in changes:
            allocations.append(allocations[-1].to(shares))
            starts.append(start)
        return cls(tuple(allocations), tuple(starts), since)

    def at(self, now: float) -> Allocation:
        """What holds now. Units: Unix seconds."""
        return self.allocations[bisect_right(self.starts, now)] if self.starts else self.allocations[0]

    def changes(self, since: float = -np.inf) -> tuple[tuple[float, dict[str, int]], ...]:
        """What will change after a moment: when, and the shares from then on."""
        return tuple(
            (start, allocation.shares)
            for start, allocation in zip(self.starts, self.allocations[1:], strict=True)
            if start > since
        )


def _ranks(salt: str, arm: str) -> list[int]:
    """How an arm likes each bucket: a shuffle of its own. Shapes: (10000,)."""
    ranks: list[int] = np.frombuffer(shake_128(f"{salt}\0{arm}".encode()).digest(8 * BUCKETS), dtype="<u8").tolist()
    return ranks
