"""How long it takes from a click to a model that has learnt it, seen in an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Publish:
    """One generation of a model and when the clicks new in it were received. Units: Unix seconds."""

    generation: int
    clicks: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Freshness:
    """Units: seconds, from a click's 202 to the first answer by a model that knows it. clicks: how many were timed."""

    p50_s: float
    p95_s: float
    clicks: int


def generation_of(model_version: str) -> int:
    """The generation in `name/schema@generation`; 0 where there is none, as in an answer without a model."""
    generation = model_version.rpartition("@")[2]
    return int(generation) if generation.isdigit() else 0


def freshness(publishes: Iterable[Publish], first_seen: Mapping[str, float]) -> Freshness | None:
    """Time every click whose model has been seen; None while there is none."""
    found = waits(publishes, first_seen)
    if not found:
        return None
    p50, p95 = np.quantile(found, [0.5, 0.95])
    return Freshness(float(p50), float(p95), len(found))


def waits(publishes: Iterable[Publish], first_seen: Mapping[str, float]) -> list[float]:
    """How long each click waited whose model has been seen. Units: seconds.

    A generation that no answer was made with was superseded: its clicks count from the next one that was seen.
    """
    seen = sorted((generation_of(version), at) for version, at in first_seen.items())
    generations = np.array([generation for generation, _ in seen])
    # The earliest time at which this generation or a newer one was seen.
    earliest = np.minimum.accumulate(np.array([at for _, at in seen])[::-1])[::-1]
    found: list[float] = []
    for publish in publishes:
        at = int(np.searchsorted(generations, publish.generation))
        if at < len(seen):
            found += [float(earliest[at]) - click for click in publish.clicks]
    return found
