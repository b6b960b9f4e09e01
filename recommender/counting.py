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
from omakase.core.item_ids import UNKNOWN
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
        self._catalogue: Catalogue | None = None
        self._served: dict[Where, Counted] = {}

    def refresh(self) -> bool:
        """Look once. Returns whether the counts changed. Raises: Unavailable before the first answer of the store."""
        is_changed = self.newest.refresh()
        metrics.GENERATION.labels(self.key).set(self.newest.generation)
        metrics.REFUSALS.labels(self.key).set(self.newest.refusals)
        if is_changed:
            self._served = {}
        return is_changed

    def served(self, catalogue: Catalogue) -> dict[Where, Counted]:
        """Bound anew only where the counts or the catalogue have changed.

        Nothing where every snapshot was refused: to rank by the bare prior would silently forget what was counted.
        """
        if self.newest.is_refused:
            return {}
        if self._catalogue is not catalogue:
            self._report(catalogue)
            self._catalogue, self._served = catalogue, {}
        if not self._served:
            self._served = {(self._placement, name): self._counted(name, catalogue) for name in self._policies}
        return self._served

    def _counted(self, name: str, catalogue: Catalogue) -> Counted:
        policy, prior = self._policies[name]
        scorer = CountScorer.of(self.newest.value or Counts(), prior, catalogue)
        weights = policy.weights(scorer.impressions) if isinstance(policy, EpsilonGreedy) else None
        return Counted(model_version(self.key, self.newest.generation), scorer, weights)

    def _report(self, catalogue: Catalogue) -> None:
        for name, (_, prior) in self._policies.items():
            unknown = int(np.count_nonzero(catalogue.places(list(prior.informed)) == UNKNOWN))
            if unknown:
                log.warning(
                    "policy %s: %d of %d items with a prior are not in the catalogue, and are ignored",
                    name,
                    unknown,
                    len(prior.informed),
                )


def counts_of(product: Product, policies: Mapping[str, Policy], store: ModelStore) -> list[PlacementCounts]:
    """The counts that the policies of the placements' variants need. Raises: InvalidConfig if priors cannot be read."""
    priors = {name: _prior(product.policies[name]) for name, policy in policies.items() if _needs_counts(policy)}
    return [
        PlacementCounts(placement, {name: (policies[name], priors[name]) for name in sorted(names)}, store)
        for placement, section in product.placements.items()
        if (names := {variant.policy for variant in section.variants.values()} & priors.keys())
    ]


def _needs_counts(policy: Policy) -> bool:
    return policy.source is Source.COUNTS or (isinstance(policy, EpsilonGreedy) and policy.tail > 0.0)


def _prior(policy: PolicyConfig) -> Prior:
    if not isinstance(policy, BetaThompsonPolicy):
        return Prior()
    return Prior(policy.prior_weight, read_priors(Path(policy.priors)) if policy.priors else {})
