"""All that a recommender ranks from, as one immutable reference.

A request reads the reference once and never sees a catalogue of one generation with the item matrix of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import TypeVar
from zoneinfo import ZoneInfo

import numpy as np

from omakase.config.schema import Product
from omakase.core.beliefs import Factors, Scorer
from omakase.core.catalogue import Catalogue
from omakase.core.errors import NotFound
from omakase.core.features import FeatureSpec
from omakase.core.policies import Policy
from omakase.ports.model_store import ModelKey

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ItemMatrix:
    """A catalogue encoded by one feature specification.

    Shapes: factors is (n, p), contiguous. `catalogue` has the same n items in the same order; those whose metadata does
    not fit the features are hidden in it, so that they are neither shown with wrong features nor take the others down.
    `misfits` says why, by item id.
    """

    catalogue: Catalogue
    factors: Factors
    misfits: Mapping[str, str]

    @classmethod
    def of(cls, catalogue: Catalogue, spec: FeatureSpec) -> ItemMatrix:
        """Cost: O(n·p), a few microseconds an item."""
        factors, unfit = spec.encode_items([item.metadata for item in catalogue.items])
        misfits = {catalogue.items[row].item_id: reason for row, reason in unfit.items()}
        if not misfits:
            return cls(catalogue, factors, misfits)
        shown = tuple(replace(item, hidden=True) if item.item_id in misfits else item for item in catalogue.items)
        return cls(Catalogue(shown, catalogue.generation), factors, misfits)


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
    """Rules, catalogue and models that belong together. Look-ups raise NotFound.

    `plain` stands in for an item matrix where a policy needs no model: (n, 0).
    """

    rules: Rules
    catalogue: Catalogue
    plain: ItemMatrix
    models: Mapping[str, ServedModel]

    @classmethod
    def of(cls, rules: Rules, catalogue: Catalogue, models: Mapping[str, ServedModel]) -> Bundle:
        nothing = np.empty((len(catalogue.items), 0), dtype=np.float32)
        return cls(rules, catalogue, ItemMatrix(catalogue, nothing, {}), models)

    def surface(self, name: str) -> Surface:
        return _named("placement", name, self.rules.surfaces)

    def policy(self, name: str) -> Policy:
        return _named("policy", name, self.rules.policies)

    def model(self, name: str) -> ServedModel:
        return _named("model", name, self.models)


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    found = known.get(name)
    if found is None:
        raise NotFound(f"this recommender serves no {kind} {name!r}, only {sorted(known)}")
    return found
