"""Placements as people write them, and how their slates are put together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, Field, PlainValidator, field_validator

from omakase.config.sections import FactName, Name, Seconds, Section, Weight
from omakase.core.choices import Layout
from omakase.core.errors import InvalidInput
from omakase.core.events import CLICK
from omakase.core.examination import Examination
from omakase.core.ids import MAX_POSITION
from omakase.core.rewards import Combination, RewardTable
from omakase.core.suggestion import suggest

ESTIMATED: Literal["estimated"] = "estimated"


def _is_position(key: str) -> str:
    if not key.isascii() or not key.isdecimal() or key[0] == "0" or int(key) > MAX_POSITION:
        raise ValueError(f"is no position: use 1 to {MAX_POSITION}")
    return key


def _examination(raw: object) -> Examination | Literal["estimated"] | None:
    if raw is None or isinstance(raw, Examination):
        return raw
    if raw == ESTIMATED:
        return ESTIMATED
    if not isinstance(raw, list) or not {type(share) for share in raw} <= {int, float}:
        raise ValueError(f"must be a list of numbers by position, such as [1, 0.7, 0.5], or the word {ESTIMATED}")
    try:
        return Examination(tuple(map(float, raw)))
    except InvalidInput as error:
        raise ValueError(str(error)) from error


Position: TypeAlias = Annotated[str, AfterValidator(_is_position)]
ItemId: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]
ExaminationConfig: TypeAlias = Annotated[Examination | Literal["estimated"] | None, PlainValidator(_examination)]


class Variant(Section):
    """One arm. Units: share in basis points of the placement's people, or of the layer's in an experiment."""

    share: Annotated[int, Field(ge=0, le=10_000)]
    policy: Name
    model: Name | None = None
    recommender: Name = "main"


class Exposure(Section):
    """How often the few pieces of an item are shown: deliveries by one recommender process in a sliding window."""

    per_stock: Annotated[int, Field(ge=1, le=1_000_000)]
    window_s: Seconds = 3600.0


class Placement(Section):
    """A surface that shows a slate, and the people who are split over it."""

    slots: Annotated[int, Field(ge=1, le=255)] = 3
    max_limit: Annotated[int, Field(ge=1, le=255)] = 50
    max_candidates: Annotated[int, Field(ge=1, le=100_000)] = 1000
    time_zone: str = "UTC"
    rewards: dict[Name, Weight] = {CLICK: 1.0}
    combine_rewards: Combination = "sum"
    objective: Literal["clicks", "revenue"] = "clicks"
    draw: Literal["slate", "slot"] = "slate"
    caps: dict[FactName, Annotated[int, Field(ge=1, le=MAX_POSITION)]] = {}
    pinned: dict[Position, ItemId] = {}
    exposure: Exposure | None = None
    slate_ttl_s: Seconds | None = None
    examination: ExaminationConfig = None
    salt: str = ""
    layer: Name | None = None
    holdout: Name | None = None
    variants: Annotated[dict[Name, Variant], Field(min_length=1)]
    shadows: dict[Name, Variant] = {}

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Asia" names a folder of the database
            near = suggest(zone, available_timezones())
            raise ValueError(f"{zone[:60]!r} is not an IANA time zone such as Asia/Tokyo{near}") from None
        return zone

    def layout(self) -> Layout:
        """How its slates are put together."""
        return Layout(dict(self.caps), {int(at): item for at, item in self.pinned.items()}, self.draw == "slot")

    def reward_table(self, conversion_models: Collection[str]) -> RewardTable:
        """What its events are worth, conversions to these models alone."""
        return RewardTable(dict(self.rewards), conversion_models, self.combine_rewards)
