"""What may be ranked for somebody at a placement, and which of it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.recommenders import Recommender
from omakase.config import Product
from omakase.core.splits import AssignedBy


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant. `model` is empty where the variant names none."""

    variant: str
    policy: str
    model: str
    recommender: Recommender


@dataclass(frozen=True, slots=True)
class Assigned:
    """The arm that a person sees, the experiment it belongs to (empty outside of one), and why."""

    arm: Arm
    experiment: str
    assigned_by: AssignedBy

    @property
    def is_learnt(self) -> bool:
        """Whether models may learn from it: who looks at a variant on purpose is no visitor."""
        return self.assigned_by != "override"


def arms_of(placement: str, product: Product, recommenders: Mapping[str, Recommender]) -> dict[str, Arm]:
    """All of a placement's, by name: its variants, its shadows, and those of the experiments that run there."""
    return {
        name: Arm(name, variant.policy, variant.model or "", recommenders[variant.recommender])
        for name, variant in product.arms_at(placement).items()
    }
