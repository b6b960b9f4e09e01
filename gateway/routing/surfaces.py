"""Placements, made ready to route by: bounds, arms and who falls in which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.api import RecommendationRequest
from gateway.recommenders import Recommender
from gateway.routing.arms import Arm, Assigned, arms_of
from omakase.allocations import Allocations
from omakase.config import Product
from omakase.core import overrides
from omakase.core.errors import Forbidden, InvalidInput, NotFound
from omakase.core.features import FeatureSpec
from omakase.core.ids import Keyring, Pseudonym
from omakase.core.splits import Split
from omakase.core.suggestion import suggest
from omakase.core.values import Facts
from omakase.serving.refusals import Refusals
from omakase.splits import split_of

_refusals = Refusals()


@dataclass(frozen=True, slots=True)
class Surface:
    """One placement. `specs` are the features of all its models, one of each schema; `experiments` are those that its
    variants belong to, by variant."""

    name: str
    slots: int
    max_limit: int
    max_candidates: int
    specs: tuple[FeatureSpec, ...]
    split: Split
    arms: Mapping[str, Arm]
    experiments: Mapping[str, str]
    keyring: Keyring

    @classmethod
    def of(
        cls, name: str, product: Product, recommenders: Mapping[str, Recommender], split: Split, keyring: Keyring
    ) -> Surface:
        placement = product.placements[name]
        experiments = {
            variant: experiment for experiment, one in product.experiments_at(name).items() for variant in one.variants
        }
        return cls(
            name,
            placement.slots,
            placement.max_limit,
            placement.max_candidates,
            _specs(name, product),
            split,
            arms_of(name, product, recommenders),
            dict.fromkeys(placement.variants, "") | experiments,
            keyring,
        )

    def assign(self, unit: Pseudonym, context: Facts, now: float, override: str | None = None) -> Assigned:
        """The arm of a person. Sticky: the same for as long as the shares are.

        `context` is what may be used of it; without it, targeted experiments are for others. `override` is the header
        as it came. Units: now in Unix seconds. Raises: Forbidden for an override that is not for this person, here,
        now. Cost: see `Split.assign`.
        """
        if override is not None:
            return self._overridden(unit, now, override)
        assigned = self.split.assign(unit, context, now)
        return Assigned(self.arms[assigned.variant], assigned.experiment, assigned.assigned_by)

    def shadows_of(self, unit: Pseudonym) -> tuple[Arm, ...]:
        """What is ranked and recorded besides, and never shown. Cost: nothing where there are none."""
        return tuple(self.arms[name] for name in self.split.shadows_of(unit)) if self.split.shadows else ()

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

    def _overridden(self, unit: Pseudonym, now: float, override: str) -> Assigned:
        try:
            variant = overrides.verify(self.keyring, override, self.name, unit, now)
            if variant not in self.experiments:
                raise Forbidden("the override is for a variant that this placement does not show")
        except Forbidden as error:
            _refusals.add("override", f"{error}, at {self.name}")
            raise
        return Assigned(self.arms[variant], self.experiments[variant], "override")


class Surfaces:
    """Every placement of one configuration, by name. Immutable: another configuration, or another allocation, makes
    others, which are swapped in as a whole."""

    def __init__(
        self,
        product: Product,
        recommenders: Mapping[str, Recommender],
        own: Allocations,
        keyring: Keyring,
        newest: Allocations | None = None,
    ) -> None:
        """`own` and `newest`: see `omakase.splits.split_of`."""
        self._by_name = {
            name: Surface.of(name, product, recommenders, split_of(product, name, own, newest), keyring)
            for name in product.placements
        }

    def named(self, name: str) -> Surface:
        """Raises: NotFound with the nearest known placement; the unknown name is not repeated."""
        surface = self._by_name.get(name)
        if surface is None:
            raise NotFound(f"placement: no such placement{suggest(name, self._by_name)}")
        return surface


def _specs(placement: str, product: Product) -> tuple[FeatureSpec, ...]:
    models = dict.fromkeys(variant.model for variant in product.arms_at(placement).values() if variant.model)
    specs = {spec.schema_id: spec for spec in (product.feature_spec(model) for model in models)}
    return tuple(specs.values())
