"""What the items that a person clicked last have in common: facts of the context, made of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from omakase.core.catalogue import Catalogue
from omakase.core.features import Factors, FeatureSpec
from omakase.core.values import Facts


def recent_facts(
    spec: FeatureSpec, catalogue: Catalogue, factors: Factors, misfits: Mapping[str, str], clicked: Sequence[str]
) -> Facts:
    """For each `recent` feature its mean, by the feature's name; none where no clicked item can tell.

    An item clicked twice counts twice; one that is not in the catalogue any more, does not fit the features or has no
    such embedding counts for none, and the next older one takes its place. Shapes: factors is (n, p), of the
    catalogue's items; `clicked` is newest last. Cost: some microseconds a feature.
    """
    facts: dict[str, tuple[float, ...]] = {}
    for feature, columns in spec.recents:
        rows: list[int] = []
        for item_id in reversed(clicked):
            i = catalogue.index.get(item_id)
            if i is None or item_id in misfits or catalogue.items[i].metadata.get(feature.of) is None:
                continue
            rows.append(i)
            if len(rows) == feature.last:
                break
        if rows:
            facts[feature.name] = tuple(factors[rows, columns].mean(axis=0, dtype=np.float64).tolist())
    return facts
