"""All that a recommender ranks from, as one immutable reference.

A request reads the reference once and never sees a catalogue of one generation with the item matrix of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import TypeVar
from zoneinfo import ZoneInfo

import numpy as np

from omakase.config.schema import Product
from omakase.core.beliefs import Scorer
from omakase.core.catalogue import Catalogue
from omakase.core.errors import NotFound
from omakase.core.features import FeatureSpec
from omakase.core.policies import Policy
from omakase.ports.model_store import ModelKey
from recommender.counting import Counted, Where
from recommender.displays import Display
from recommender.item_matrix import ItemMatrix

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model at one generation, with the matrix that its features make of the catalogue."""

    key: ModelKey
    version: str
    spec: FeatureSpec
    scorer: Scorer
    items: ItemMatrix


@dataclass(frozen=True, slots=True)
class Surface:
    """What a placement asks of a ranking."""

    max_limit: int
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Rules:
    """The part of a bundle that comes from the configuration."""

    surfaces: Mapping[str, Surface]
    policies: Mapping[str, Policy]

    @classmethod
    def of(cls, product: Product) -> Rules:
        return cls(
            {name: Surface(p.max_limit, ZoneInfo(p.time_zone)) for name, p in product.placements.items()},
            {name: policy.compile() for name, policy in product.policies.items()},
        )


@dataclass(frozen=True, slots=True)
class Bundle:
    """Rules, catalogue, models, counts and displays that belong together. Look-ups of a name raise NotFound.

    `plain` stands in for an item matrix where a policy needs no model: (n, 0).
    """

    rules: Rules
    catalogue: Catalogue
    plain: ItemMatrix
    models: Mapping[str, ServedModel]
    counts: Mapping[Where, Counted]
    displays: Mapping[str, Display]

    @classmethod
    def of(
        cls,
        rules: Rules,
        catalogue: Catalogue,
        models: Mapping[str, ServedModel],
        counts: Mapping[Where, Counted],
        displays: Mapping[str, Display] | None = None,
    ) -> Bundle:
        """Without `displays` they are plain."""
        nothing = np.empty((len(catalogue), 0), dtype=np.float32)
        plain = {name: Display(name, catalogue) for name in rules.surfaces} if displays is None else displays
        return cls(rules, catalogue, ItemMatrix(catalogue, nothing, {}), models, counts, plain)

    def surface(self, name: str) -> Surface:
        return _named("placement", name, self.rules.surfaces)

    def display(self, name: str) -> Display:
        return _named("placement", name, self.displays)

    def policy(self, name: str) -> Policy:
        return _named("policy", name, self.rules.policies)

    def model(self, name: str) -> ServedModel:
        return _named("model", name, self.models)


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    found = known.get(name)
    if found is None:
        raise NotFound(f"this recommender serves no {kind} {name!r}, only {sorted(known)}")
    return found
