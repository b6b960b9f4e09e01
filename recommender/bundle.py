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
from omakase.core.beliefs import Factors, Scorer
from omakase.core.catalogue import Catalogue
from omakase.core.errors import NotFound
from omakase.core.features import FeatureSpec
from omakase.core.policies import Policy
from omakase.ports.model_store import ModelKey
from recommender.counting import Counted, Where
from recommender.displays import Display

T = TypeVar("T")

_CHUNK = 4096


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
    def of(cls, catalogue: Catalogue, spec: FeatureSpec, before: ItemMatrix | None = None) -> ItemMatrix:
        """Shares the factors of `before`, which is of the same features, if its catalogue shares the metadata.

        Cost: else O(n·p), a few microseconds an item, and the memory of the factors and a chunk of facts.
        """
        if before is not None and before.catalogue.metadata is catalogue.metadata:
            unfit_before = catalogue.places(list(before.misfits)).tolist()
            return cls(_shown(catalogue, unfit_before), before.factors, before.misfits)
        factors = np.empty((len(catalogue), spec.item_width), dtype=np.float32)
        unfit: dict[int, str] = {}
        for start in range(0, len(catalogue), _CHUNK):
            stop = min(start + _CHUNK, len(catalogue))
            facts = [catalogue.metadata[i] for i in range(start, stop)]
            factors[start:stop], reasons = spec.encode_items(facts)
            unfit.update((start + row, reason) for row, reason in reasons.items())
        misfits = {catalogue.item_ids[i]: reason for i, reason in unfit.items()}
        return cls(_shown(catalogue, list(unfit)), factors, misfits)


def _shown(catalogue: Catalogue, unfit: list[int]) -> Catalogue:
    return catalogue.hiding(unfit) if unfit else catalogue


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
