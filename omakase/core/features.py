"""From facts to vectors: a frozen specification, compiled once.

An item encodes to `f_item` (p,), which starts with the constant 1; a context encodes to `f_context` (m,). The learner
sees `x = [f_item, f_context ⊗ f_item]` (d,) with d = p·(1 + m), but nobody builds it to rank: with θ = (θ_item, Θ)
every score is `F_items @ (θ_item + Θᵀ f_context)`.

Source: Li et al., "A Contextual-Bandit Approach to Personalized News Article Recommendation", WWW 2010, section 5.2.2,
who cross user and article features the same way.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import blake2b, sha256
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidFeature, InvalidInput
from omakase.core.values import Facts, Value

# Facts that every context has, as numbers: the hour (0 to 23) and the weekday (0 is Monday) where the placement is.
DERIVED = frozenset({"hour", "weekday"})

Factor: TypeAlias = NDArray[np.float32]


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

    def encode(self, value: Value, out: Factor) -> None:
        number = _number(self.name, value)
        out[0] = min(max((number - self.mean) / self.scale, -self.clip), self.clip)


@dataclass(frozen=True, slots=True)
class Cyclic:
    """A number on a circle, such as the hour of the day: sine and cosine of value / period. Missing: 0."""

    kind: ClassVar[str] = "cyclic"
    name: str
    period: float

    @property
    def width(self) -> int:
        return 2

    def encode(self, value: Value, out: Factor) -> None:
        angle = 2 * math.pi * math.fmod(_number(self.name, value), self.period) / self.period
        out[0], out[1] = math.sin(angle), math.cos(angle)


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of a known vocabulary, one-hot; several values set several places. Unknown or missing: 0."""

    kind: ClassVar[str] = "categorical"
    name: str
    vocabulary: tuple[str, ...]

    @property
    def width(self) -> int:
        return len(self.vocabulary)

    def encode(self, value: Value, out: Factor) -> None:
        for word in _words(self.name, value):
            if word in self.vocabulary:
                out[self.vocabulary.index(word)] = 1.0


@dataclass(frozen=True, slots=True)
class Hashed:
    """One of an open vocabulary, one-hot by a stable hash into `buckets` places. Missing: 0."""

    kind: ClassVar[str] = "hashed"
    name: str
    buckets: int

    @property
    def width(self) -> int:
        return self.buckets

    def encode(self, value: Value, out: Factor) -> None:
        for word in _words(self.name, value):
            digest = blake2b(f"{self.name}={word}".encode(), digest_size=8).digest()
            out[int.from_bytes(digest, "big") % self.buckets] = 1.0


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

    def encode(self, value: Value, out: Factor) -> None:
        if not isinstance(value, tuple) or len(value) != self.dimensions or isinstance(value[0], str):
            raise InvalidFeature(f"{self.name!r} must be a list of {self.dimensions} numbers")
        out[:] = np.clip(np.asarray(value, dtype=np.float64), -self.clip, self.clip)


Feature: TypeAlias = Numeric | Cyclic | Categorical | Hashed | Embedding


@dataclass(frozen=True)
class FeatureSpec:
    """What a learner sees of an item and of a context. Frozen: a change is a new `schema_id` and a new belief."""

    item: tuple[Feature, ...]
    context: tuple[Feature, ...] = ()

    def __post_init__(self) -> None:
        for side in (self.item, self.context):
            names = [feature.name for feature in side]
            if len(set(names)) < len(names):
                raise InvalidInput(f"a feature is named twice in {names}")

    @cached_property
    def item_width(self) -> int:
        """p, the constant included."""
        return 1 + sum(feature.width for feature in self.item)

    @cached_property
    def context_width(self) -> int:
        """m."""
        return sum(feature.width for feature in self.context)

    @cached_property
    def dimensions(self) -> int:
        """d = p·(1 + m)."""
        return self.item_width * (1 + self.context_width)

    @cached_property
    def schema_id(self) -> str:
        """Twelve hexadecimal digits that change whenever the meaning of a coordinate may have."""
        described = [[{"kind": f.kind, **asdict(f)} for f in side] for side in (self.item, self.context)]
        return sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]

    def encode_item(self, facts: Facts) -> Factor:
        """Shapes: (p,). Raises: InvalidFeature naming the feature and what it takes."""
        return _encode(self.item, facts, self.item_width, constant=True)

    def encode_context(self, facts: Facts) -> Factor:
        """Shapes: (m,). Raises: InvalidFeature naming the feature and what it takes."""
        return _encode(self.context, facts, self.context_width, constant=False)


def cross(context_factor: Factor, item_factor: Factor) -> NDArray[np.float64]:
    """x = [f_item, f_context ⊗ f_item]. Exact: float32 products in float64.

    Shapes: (m,) and (p,) give (p·(1 + m),); (n, m) and (n, p) give n of them.
    """
    item = item_factor.astype(np.float64)
    products = context_factor.astype(np.float64)[..., :, np.newaxis] * item[..., np.newaxis, :]
    return np.concatenate([item, products.reshape(*item.shape[:-1], -1)], axis=-1)


def fold_context(theta: NDArray[np.floating], context_factor: Factor, item_width: int) -> Factor:
    """θ_item + Θᵀ f_context: the weights of one request. Shapes: (d,) and (m,) give (p,). Cost: O(d)."""
    crossed = theta[item_width:].reshape(context_factor.size, item_width)
    return (theta[:item_width] + context_factor @ crossed).astype(np.float32)


def _encode(features: Sequence[Feature], facts: Facts, width: int, *, constant: bool) -> Factor:
    out = np.zeros(width, dtype=np.float32)
    at = 0
    if constant:
        out[0], at = 1.0, 1
    for feature in features:
        value = facts.get(feature.name)
        if value is not None:
            feature.encode(value, out[at : at + feature.width])
        at += feature.width
    return out


def _number(name: str, value: Value) -> float:
    if isinstance(value, (str, tuple)):
        raise InvalidFeature(f"{name!r} must be a number")
    return float(value)


def _words(name: str, value: Value) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, tuple) and all(isinstance(word, str) for word in value):
        return value  # type: ignore[return-value]
    raise InvalidFeature(f"{name!r} must be text or a list of texts")
