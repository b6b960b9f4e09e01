"""What policies rank by, or explore by, that is counted at their placement."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from omakase.config.priors import read_priors
from omakase.config.schema import BetaThompsonPolicy, PolicyConfig, Product
from omakase.core.catalogue import Catalogue
from omakase.core.counts import Counts, CountScorer, Prior
from omakase.core.epsilon_greedy import EpsilonGreedy
from omakase.core.item_ids import UNKNOWN, ItemIds
from omakase.core.policies import Policy, Source
from omakase.counts import counts_key, decode_counts
from omakase.ports.model_store import ModelStore
from omakase.serving.newest import Newest
from omakase.snapshots import model_version
from recommender import metrics

log = logging.getLogger(__name__)

# Which policy, at which placement.
Where: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Counted:
    """The counts of a placement, as one policy reads them. Shapes: weights (n,), what it explores the items by."""

    version: str
    scorer: CountScorer
    weights: NDArray[np.float32] | None = None


class PlacementCounts:
    """One placement's counts: where they are, who reads them, what is believed before the first."""

    def __init__(self, placement: str, policies: Mapping[str, tuple[Policy, Prior]], store: ModelStore) -> None:
        self.key = counts_key(placement)
        self.newest = Newest(store, self.key, decode_counts)
        self._placement = placement
        self._policies = policies
        self._item_ids: ItemIds | None = None
        self._served: dict[Where, Counted] = {}
        self._unknown: dict[str, list[str]] = {}

    def refresh(self) -> bool:
        """Look once. Returns whether the counts changed. Raises: Unavailable before the first answer of the store."""
        is_changed = self.newest.refresh()
        metrics.GENERATION.labels(self.key).set(self.newest.generation)
        metrics.REFUSALS.labels(self.key).set(self.newest.refusals)
        if is_changed:
            self._served = {}
        return is_changed

    def served(self, catalogue: Catalogue) -> dict[Where, Counted]:
        """Bound anew only where the counts or the catalogue's ids have changed; of new ids, to these alone.

        Nothing where every snapshot was refused: to rank by the bare prior would silently forget what was counted.
        """
        if self.newest.is_refused:
            return {}
        item_ids = catalogue.item_ids
        if self._item_ids is not item_ids or not self._served:
            is_longer = self._item_ids is not None and item_ids.continues(self._item_ids)
            if self._item_ids is not item_ids:
                self._report(item_ids, is_longer)
            before = self._served if is_longer else {}
            self._served = {
                where: self._counted(where[1], item_ids, before.get(where))
                for where in ((self._placement, name) for name in self._policies)
            }
            self._item_ids = item_ids
        return self._served

    def _counted(self, name: str, item_ids: ItemIds, before: Counted | None) -> Counted:
        """`before` is of the same counts and of ids that these continue."""
        policy, prior = self._policies[name]
        counts = self.newest.value or Counts()
        scorer = (
            CountScorer.of(counts, prior, item_ids) if before is None else before.scorer.over(counts, prior, item_ids)
        )
        weights = policy.weights(scorer.impressions) if isinstance(policy, EpsilonGreedy) else None
        return Counted(model_version(self.key, self.newest.generation), scorer, weights)

    def _report(self, item_ids: ItemIds, is_longer: bool) -> None:
        """Warns where there are not as many as before."""
        for name, (_, prior) in self._policies.items():
            asked = self._unknown[name] if is_longer else list(prior.informed)
            unknown = [asked[i] for i in np.flatnonzero(item_ids.places(asked) == UNKNOWN).tolist()]
            if unknown and len(unknown) != len(self._unknown.get(name, ())):
                log.warning(
                    "policy %s: %d of %d items with a prior are not in the catalogue, and are ignored",
                    name,
                    len(unknown),
                    len(prior.informed),
                )
            self._unknown[name] = unknown


def counts_of(product: Product, policies: Mapping[str, Policy], store: ModelStore) -> list[PlacementCounts]:
    """The counts that the policies of the placements' variants need. Raises: InvalidConfig if priors cannot be read."""
    priors = {name: _prior(product.policies[name]) for name, policy in policies.items() if _needs_counts(policy)}
    return [
        PlacementCounts(placement, {name: (policies[name], priors[name]) for name in sorted(names)}, store)
        for placement in product.placements
        if (names := {arm.policy for arm in product.arms_at(placement).values()} & priors.keys())
    ]


def _needs_counts(policy: Policy) -> bool:
    return policy.source is Source.COUNTS or (isinstance(policy, EpsilonGreedy) and policy.tail > 0.0)


def _prior(policy: PolicyConfig) -> Prior:
    if not isinstance(policy, BetaThompsonPolicy):
        return Prior()
    return Prior(policy.prior_weight, read_priors(Path(policy.priors)) if policy.priors else {})
