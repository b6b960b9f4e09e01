"""Who falls in which variant.

Every person draws one exponential waiting time per variant, from a hash, divided by the variant's share; the shortest
wait wins. A variant is drawn with exactly its share, and nothing is remembered.

Two configurations that differ by δ (half the sum of the changes of share) disagree on at most 2δ/(1+δ) of the people,
which is the least that any rule can promise that does not know the configuration before; on exactly δ, the least there
is at all, with two variants, and when one variant gains or loses against all others in proportion. Plain ranges of a
hash cut in order would move people between variants whose shares did not change.

Source: Moulton & Jiang, "Maximally Consistent Sampling and the Jaccard Index of Probability Distributions", ICDM
Workshops 2018 (P-MinHash); that 2δ/(1+δ) cannot be beaten: Bavarian et al., "Optimality of Correlated Sampling", 2016.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from omakase.core.errors import InvalidInput

_UNIFORM = 2.0**-53


@dataclass(frozen=True)
class Assignment:
    """Shares by variant, in any unit: only their ratios count. A variant with share 0 gets nobody.

    `salt` keeps experiments apart: with another salt people are dealt anew.
    """

    salt: str
    shares: Mapping[str, float]

    def __post_init__(self) -> None:
        if any(not math.isfinite(share) or share < 0 for share in self.shares.values()):
            raise InvalidInput("a share must be a finite number that is not negative")
        if not any(self.shares.values()):
            raise InvalidInput("at least one variant needs a share above 0")

    @cached_property
    def _drawn(self) -> tuple[tuple[str, float, bytes], ...]:
        return tuple(
            (variant, share, f"{self.salt}\0{variant}\0".encode()) for variant, share in self.shares.items() if share
        )

    def variant_of(self, unit: str) -> str:
        """The variant of a person. Guarantees: a function of salt, unit, and each variant's own name and share.

        Cost: one SHA-256 a variant, about 1 µs.
        """
        if len(self._drawn) == 1:
            return self._drawn[0][0]
        name = unit.encode()
        return min(self._drawn, key=lambda drawn: _wait(drawn[2] + name) / drawn[1])[0]


def _wait(hashed: bytes) -> float:
    """A standard exponential. The hash is uniform over 53 bits, and never 0."""
    bits = int.from_bytes(sha256(hashed).digest()[:8], "big") >> 11
    return -math.log((bits + 0.5) * _UNIFORM)
