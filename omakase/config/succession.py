"""A configuration that stands in for the one before it, for requests that are still on their way by that one."""

from __future__ import annotations

from omakase.config.placements import Placement
from omakase.config.schema import Product

_BEFORE = "before/"  # no configured name has a slash


def with_names_of(product: Product, before: Product) -> Product:
    """`product`, and what only `before` had a name for: placements, variants, models and policies.

    For what ranks, not for what assigns people. Guarantees: what `product` names is as it says; what only `before`
    named is as that said, its features too.
    """
    gone = {name: model for name, model in before.models.items() if name not in product.models}
    models = {name: model.model_copy(update={"features": _BEFORE + model.features}) for name, model in gone.items()}
    features = {_BEFORE + model.features: before.features[model.features] for model in gone.values()}
    return product.model_copy(
        update={
            "placements": {name: _placement(name, product, before) for name in product.placements | before.placements},
            "features": product.features | features,
            "models": product.models | models,
            "policies": before.policies | product.policies,
        }
    )


def _placement(name: str, product: Product, before: Product) -> Placement:
    """With the variants of both: which policies are asked for where decides what is counted for them."""
    if name not in before.placements:
        return product.placements[name]
    variants = {_BEFORE + variant: one for variant, one in before.arms_at(name).items()}
    placement = product.placements.get(name, before.placements[name])
    return placement.model_copy(update={"variants": placement.variants | variants})
