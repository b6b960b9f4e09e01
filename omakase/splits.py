"""How the people of each placement are split, by the configuration and the allocations in force."""

from __future__ import annotations

from omakase.allocations import Allocations, arm_name
from omakase.config import Product
from omakase.core.splits import Assignment, Enrolment, Holdout, Split


def split_of(product: Product, placement: str, own: Allocations, newest: Allocations | None = None) -> Split:
    """One placement's. `own` are the allocations that this configuration was settled to, `newest` those in force if
    somebody has settled another one since."""
    configured, layer = product.placements[placement], product.layer_of(placement)
    in_force = newest or own
    held = configured.holdout or next(iter(configured.variants))
    enrolments = {
        arm_name(name, variant): Enrolment(Assignment(variant, name, "experiment"), experiment.compiled_target())
        for name, experiment in product.experiments_at(placement).items()
        for variant in experiment.variants
    }
    return Split(
        holdout=Holdout(product.holdout.share, f"holdout\0{product.holdout.salt}") if product.holdout else None,
        held=Assignment(held, "", "holdout"),
        layer=layer,
        layer_shares=in_force.layers.get(layer) if enrolments else None,
        enrolments=enrolments,
        shares=in_force.placements.get(placement, own.placements[placement]),
        own=own.placements[placement],
        variants={name: Assignment(name, "", "share") for name in configured.variants},
        shadow_salt=f"shadows\0{placement}",
        shadows={name: shadow.share for name, shadow in configured.shadows.items()},
    )
