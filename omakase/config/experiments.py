"""Experiments as people write them: who takes part, since when, and what they see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, PlainValidator

from omakase.config.placements import Variant
from omakase.config.sections import FactName, Name, Section, refuse_repeats
from omakase.core.allocation import BUCKETS
from omakase.core.errors import InvalidInput
from omakase.core.splits import Target
from omakase.core.values import Value, value_of


def _moment(raw: object) -> datetime:
    if isinstance(raw, datetime):
        moment = raw
    else:
        try:
            moment = datetime.fromisoformat(str(raw))
        except ValueError:
            raise ValueError("is no moment: write one such as 2026-12-01T09:00:00+09:00") from None
    if moment.tzinfo is None:
        raise ValueError("does not say which time zone: add +09:00, or Z for UTC")
    return moment


def _wanted(raw: object) -> tuple[Value, ...]:
    """One value, or a list of those that will do."""
    values = raw if isinstance(raw, (list, tuple)) else [raw]
    if not values:
        raise ValueError("must not be empty")
    try:
        found = tuple(value_of("value", value) for value in values)
    except InvalidInput:
        raise ValueError("must be text, a number, true or false, or a list of those") from None
    if any(isinstance(value, tuple) for value in found):
        raise ValueError("must be text, a number, true or false, or a list of those")
    return found


Moment: TypeAlias = Annotated[datetime, PlainValidator(_moment)]
Wanted: TypeAlias = Annotated[tuple[Value, ...], PlainValidator(_wanted)]


class Holdout(Section):
    """People who are in no experiment anywhere. Units: share in basis points of everybody."""

    share: Annotated[int, Field(ge=0, le=10_000)]
    salt: str = ""


class RampStep(Section):
    """From `at` on, so many basis points of the variants' own shares."""

    at: Moment
    share: Annotated[int, Field(ge=0, le=10_000)]


class Experiment(Section):
    """Variants for a part of a layer's people."""

    placements: Annotated[list[Name], Field(min_length=1), AfterValidator(refuse_repeats)]
    target: dict[FactName, Wanted] = {}
    ramp: Annotated[list[RampStep], Field(min_length=1)] | None = None
    variants: Annotated[dict[Name, Variant], Field(min_length=1)]

    def compiled_target(self) -> Target:
        return Target(dict(self.target))

    def changes(self) -> tuple[float, ...]:
        """When its shares change. Units: Unix seconds."""
        return tuple(step.at.timestamp() for step in self.ramp or ())

    def shares(self, now: float) -> Mapping[str, int]:
        """The shares that its variants have at a moment, rounded down. Units: basis points of the layer's people."""
        ramped = BUCKETS
        if self.ramp is not None:
            ramped = next((step.share for step in reversed(self.ramp) if step.at.timestamp() <= now), 0)
        return {name: variant.share * ramped // BUCKETS for name, variant in self.variants.items()}
