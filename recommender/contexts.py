"""The context of a ranking, and what it is encoded to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from omakase.core.errors import InvalidFeature
from omakase.core.features import Factor
from omakase.core.ids import Pseudonym
from omakase.core.recent import recent_facts
from omakase.core.values import Facts
from omakase.ports.context_store import Known
from recommender import metrics
from recommender.bundle import ServedModel

Acquaintance: TypeAlias = Mapping[Pseudonym, Known]  # what is known of some people

STRANGERS: Acquaintance = MappingProxyType({})
_NO_FACTOR: Factor = np.empty(0, dtype=np.float32)


def context_of(
    known: Known | None, given: Facts | None, model: ServedModel | None, now: float, zone: tzinfo
) -> tuple[Facts, Factor]:
    """The facts, and as `model` encodes them. `given` is None without consent to personalise. Units: Unix seconds.

    What is known of the user, over it what the items that they clicked last have in common, as far as the model's
    features ask for it, and the hour and weekday in the placement's time zone, over all of them what the request names:
    the request always wins, so that a replay can say when it was. Without consent it is the hour and weekday alone.

    Raises: InvalidFeature for what was given and does not fit.
    """
    local = datetime.fromtimestamp(now, zone)
    derived: Facts = {"hour": float(local.hour), "weekday": float(local.weekday())}
    if given is None:
        return derived, _encode(model, derived)
    given = {**derived, **given}
    if known is None:
        return given, _encode(model, given)
    recent = {} if model is None else _recent(model, known)
    try:
        facts: Facts = {**known.facts, **recent, **given}
        return facts, _encode(model, facts)
    except InvalidFeature:
        facts = {**recent, **given}
        factor = _encode(model, facts)  # raises again if it is the caller who can mend it
        metrics.CONTEXTS_UNUSED.labels("misfit").inc()
        return facts, factor


def _recent(model: ServedModel, known: Known) -> Facts:
    items = model.items
    return recent_facts(model.spec, items.catalogue, items.factors, known.clicked)


def _encode(model: ServedModel | None, facts: Facts) -> Factor:
    return _NO_FACTOR if model is None else model.spec.encode_context(facts)
