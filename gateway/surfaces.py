"""Placements, made ready to route by: bounds, arms and who falls in which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.api import RecommendationRequest
from gateway.recommenders import Recommender
from omakase.config.placements import Placement
from omakase.config.schema import Product
from omakase.core.assignment import Assignment
from omakase.core.errors import InvalidInput, NotFound
from omakase.core.features import FeatureSpec
from omakase.core.suggestion import suggest


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant. `model` is empty where the variant names none."""

    variant: str
    policy: str
    model: str
    recommender: Recommender


@dataclass(frozen=True, slots=True)
class Surface:
    """One placement. `specs` are the features of all its models, one of each schema."""

    name: str
    slots: int
    max_limit: int
    max_candidates: int
    specs: tuple[FeatureSpec, ...]
    assignment: Assignment
    arms: Mapping[str, Arm]

    @classmethod
    def of(cls, name: str, product: Product, recommenders: Mapping[str, Recommender]) -> Surface:
        placement = product.placements[name]
        shares = {variant: float(configured.share) for variant, configured in placement.variants.items()}
        arms = {
            variant: Arm(variant, configured.policy, configured.model or "", recommenders[configured.recommender])
            for variant, configured in placement.variants.items()
        }
        return cls(
            name,
            placement.slots,
            placement.max_limit,
            placement.max_candidates,
            _specs(placement, product),
            Assignment(placement.salt or name, shares),
            arms,
        )

    def arm_of(self, unit: str) -> Arm:
        """The arm of a person, by pseudonym. Sticky: the same for as long as the shares are."""
        return self.arms[self.assignment.variant_of(unit)]

    def check(self, request: RecommendationRequest) -> int:
        """Hold a request against this placement's bounds. Returns how many items are wanted.

        The context is held against the features of all arms' models: whether a request is refused must not hang on
        the arm that a person is in, nor on whether a recommender is there to look. Raises: InvalidInput.
        """
        limit = self.slots if request.limit is None else request.limit
        if limit > self.max_limit:
            raise InvalidInput(f"limit: at most {self.max_limit} at this placement")
        if request.candidates is not None and len(request.candidates) > self.max_candidates:
            raise InvalidInput(f"candidates: at most {self.max_candidates} at this placement")
        if request.context:
            for spec in self.specs:
                spec.encode_context(request.context)
        return limit


class Surfaces:
    """Every placement of the configuration, by name."""

    def __init__(self, product: Product, recommenders: Mapping[str, Recommender]) -> None:
        self._by_name = {name: Surface.of(name, product, recommenders) for name in product.placements}

    def named(self, name: str) -> Surface:
        """Raises: NotFound with the nearest known placement; the unknown name is not repeated."""
        surface = self._by_name.get(name)
        if surface is None:
            raise NotFound(f"placement: no such placement{suggest(name, self._by_name)}")
        return surface


def _specs(placement: Placement, product: Product) -> tuple[FeatureSpec, ...]:
    models = dict.fromkeys(variant.model for variant in placement.variants.values() if variant.model)
    specs = {spec.schema_id: spec for spec in (product.feature_spec(model) for model in models)}
    return tuple(specs.values())
