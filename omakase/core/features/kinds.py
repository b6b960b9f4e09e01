"""The kinds of feature: what people write down, frozen; their fields are part of the schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

# As many clicks of a person as are remembered.
MAX_RECENT = 50


@dataclass(frozen=True, slots=True)
class Numeric:
    """One number, `(value - mean) / scale`, clipped to ±clip. Missing: 0, the mean."""

    kind: ClassVar[str] = "numeric"
    name: str
    mean: float = 0.0
    scale: float = 1.0
    clip: float = 5.0

    @property
    def width(self) -> int:
        return 1


@dataclass(frozen=True, slots=True)
class Cyclic:
    """A number on a circle, such as the hour of the day: sine and cosine of value / period. Missing: 0."""

    kind: ClassVar[str] = "cyclic"
    name: str
    period: float

    @property
    def width(self) -> int:
        return 2


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of a known vocabulary, one-hot; several values set several places. Unknown or missing: 0."""

    kind: ClassVar[str] = "categorical"
    name: str
    vocabulary: tuple[str, ...]

    @property
    def width(self) -> int:
        return len(self.vocabulary)


@dataclass(frozen=True, slots=True)
class Hashed:
    """One of an open vocabulary, one-hot by a stable hash into `buckets` places. Missing: 0."""

    kind: ClassVar[str] = "hashed"
    name: str
    buckets: int

    @property
    def width(self) -> int:
        return self.buckets


@dataclass(frozen=True, slots=True)
class Embedding:
    """A vector made elsewhere, each component clipped to ±clip. Missing: 0."""

    kind: ClassVar[str] = "embedding"
    name: str
    dimensions: int
    clip: float = 5.0

    @property
    def width(self) -> int:
        return self.dimensions


@dataclass(frozen=True, slots=True)
class Cross:
    """What several features of one side say together, hashed into `buckets` places.

    `of` names categorical, hashed and numeric features of the same side. Every combination of one word of each
    categorical and hashed feature has a place; there stands 1, or the product of the numeric features as they encode.
    Where one of them is missing or unknown: 0.
    """

    kind: ClassVar[str] = "cross"
    name: str
    of: tuple[str, ...]
    buckets: int

    @property
    def width(self) -> int:
        return self.buckets


@dataclass(frozen=True, slots=True)
class Recent:
    """The mean of the item embedding `of` over the `last` items that a person clicked, clipped to ±clip. Missing: 0.

    Whoever ranks puts the mean among the facts of the context under the feature's own name
    (`omakase.core.recent`), where it is recorded: encoded again, it is the same.
    """

    kind: ClassVar[str] = "recent"
    name: str
    of: str
    dimensions: int
    last: int = 5
    clip: float = 5.0

    @property
    def width(self) -> int:
        return self.dimensions


Feature: TypeAlias = Numeric | Cyclic | Categorical | Hashed | Embedding | Cross | Recent
