"""From the configuration, and what the deployment says, to the recommenders."""

from __future__ import annotations

import json
from collections.abc import Mapping

from gateway.recommenders.recommender import Recommender
from omakase.config.schema import Product
from omakase.core.errors import InvalidConfig


def open_recommenders(product: Product, targets: str) -> dict[str, Recommender]:
    """One per recommender of the configuration. `targets` is JSON, name to target, and goes before the configuration's.

    Raises: InvalidConfig naming every recommender that has no target and every name that the configuration lacks.
    """
    given = _targets_of(targets)
    faults = [f"recommenders: {name!r} is not in the configuration" for name in given.keys() - product.recommenders]
    found = {}
    for name, recommender in product.recommenders.items():
        target = given.get(name) or recommender.target
        if target is None:
            faults.append(f"recommenders.{name}: needs a target, here or in OMAKASE_RECOMMENDERS")
        else:
            found[name] = (target, recommender.timeout_s)
    if faults:
        raise InvalidConfig(sorted(faults))
    return {name: Recommender(name, target, timeout_s) for name, (target, timeout_s) in found.items()}


def _targets_of(targets: str) -> Mapping[str, str]:
    try:
        given = json.loads(targets)
    except ValueError:
        given = None
    if not isinstance(given, dict) or not all(isinstance(target, str) for target in given.values()):
        raise InvalidConfig(['OMAKASE_RECOMMENDERS: must be a JSON object such as {"main": "127.0.0.1:9000"}'])
    return given
