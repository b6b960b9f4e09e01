"""What must fit together among the features of one specification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from omakase.core.features.kinds import Categorical, Cross, Embedding, Feature, Hashed, Numeric, Recent
from omakase.core.suggestion import suggest

Side: TypeAlias = Literal["item", "context"]


class Misfit(NamedTuple):
    """A feature that cannot be compiled: the one at `position` of its side, from 0, and the field at fault."""

    side: Side
    position: int
    field: str
    message: str


def misfits_of(item: Sequence[Feature], context: Sequence[Feature]) -> Iterator[Misfit]:
    """Every feature that refers to another which is not there, or is not of the kind it needs."""
    items = {feature.name: feature for feature in item}
    for side, features in (("item", item), ("context", context)):
        beside = {feature.name: feature for feature in features}
        for index, feature in enumerate(features):
            found: tuple[str, str] | None = None
            if isinstance(feature, Cross):
                found = _of_cross(feature, beside)
            elif isinstance(feature, Recent):
                found = _of_recent(feature, items) if side == "context" else ("type", _NOT_A_PERSON)
            if found:
                yield Misfit(side, index, *found)  # type: ignore[arg-type]


_NOT_A_PERSON = "recent tells of a person: put it among the context features"


def _of_cross(cross: Cross, beside: Mapping[str, Feature]) -> tuple[str, str] | None:
    if len(cross.of) < 2 or len(set(cross.of)) < len(cross.of):
        return "of", "must name at least two features, each once"
    for name in cross.of:
        part = beside.get(name)
        if part is None:
            return "of", f"no feature of the same side is named {name!r}{suggest(name, set(beside) - {cross.name})}"
        if not isinstance(part, (Categorical, Hashed, Numeric)):
            return "of", f"{name} is of type {part.kind}: only categorical, hashed and numeric features can be crossed"
    if all(isinstance(beside[name], Numeric) for name in cross.of):
        return "of", "must name at least one categorical or hashed feature: numbers alone have no places to be put in"
    return None


def _of_recent(recent: Recent, items: Mapping[str, Feature]) -> tuple[str, str] | None:
    found = items.get(recent.of)
    embeddings = [name for name, feature in items.items() if isinstance(feature, Embedding)]
    if found is None:
        return "of", f"no item feature is named {recent.of!r}{suggest(recent.of, embeddings)}"
    if not isinstance(found, Embedding):
        return "of", f"{recent.of} is of type {found.kind}: recent takes an item feature of type embedding"
    if found.dimensions != recent.dimensions:
        return "dimensions", f"{recent.dimensions} is not what {recent.of} has, which is {found.dimensions}"
    return None
