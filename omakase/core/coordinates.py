"""Names for the coordinates of x, for people who look at weights."""

from __future__ import annotations

from collections.abc import Sequence

from omakase.core.features import Categorical, Cyclic, Feature, FeatureSpec


def coordinates(spec: FeatureSpec) -> list[str]:
    """The name of each of the d coordinates, in order: those of the item, then each context's with each of the item's.

    The constant is `1`; `device=ios × colour=red` is the weight of red items for people on ios.
    """
    item = ["1", *columns(spec.item)]
    return item + [
        context if name == "1" else f"{context} × {name}" for context in columns(spec.context) for name in item
    ]


def columns(features: Sequence[Feature]) -> list[str]:
    return [name for feature in features for name in _names(feature)]


def _names(feature: Feature) -> list[str]:
    if isinstance(feature, Categorical):
        return [f"{feature.name}={word}" for word in feature.vocabulary]
    if isinstance(feature, Cyclic):
        return [f"sin {feature.name}", f"cos {feature.name}"]
    if feature.width == 1:
        return [feature.name]
    return [f"{feature.name}[{place}]" for place in range(feature.width)]
