"""The product's configuration, as people write it: one YAML file, every field once.

Durations end in `_s` and are seconds. Fields are validated here one by one; what spans several of them, such as a
variant that names a model that does not exist, is checked in `omakase.config.consistency`.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from omakase.core import features as core_features
from omakase.core.events import CLICK, CONVERSION, IMPRESSION, RETURN
from omakase.core.features import FeatureSpec
from omakase.core.learners import Learner, LinearLearner
from omakase.core.policies import Policy, Thompson, Uniform
from omakase.core.rewards import RewardTable
from omakase.core.sessions import SessionRules
from omakase.core.suggestion import suggest

Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$")]
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
# Beyond this a clipped feature would lose the digits that tell it from others in float32.
Clip: TypeAlias = Annotated[float, Field(gt=0, le=1000)]
# A year: nothing here is worth remembering longer, and a slip of the unit is caught.
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=366 * 86_400)]
Weight: TypeAlias = Annotated[float, Field(ge=-1e6, le=1e6)]
FactName: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]
# A model keeps d² numbers and is factored anew, d³/3 multiplications, at every publication: 34 MB and about half a
# second at this bound.
MAX_DIMENSIONS = 2048


def _refuse_repeats(words: list[str]) -> list[str]:
    repeated = sorted({word for word in words if words.count(word) > 1})
    if repeated:
        raise ValueError(f"names {repeated[0]!r} more than once")
    return words


class Section(BaseModel):
    """Refuses unknown keys: a typo is an error, never a default. Refuses "3" and true where a number belongs."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NumericFeature(Section):
    """A number, scaled to (value - mean) / scale and clipped."""

    type: Literal["numeric"]
    name: FactName
    mean: Finite = 0.0
    scale: Positive = 1.0
    clip: Clip = 5.0

    def compile(self) -> core_features.Numeric:
        return core_features.Numeric(self.name, self.mean, self.scale, self.clip)


class CyclicFeature(Section):
    """A number on a circle, such as the hour of the day (period 24)."""

    type: Literal["cyclic"]
    name: FactName
    period: Positive

    def compile(self) -> core_features.Cyclic:
        return core_features.Cyclic(self.name, self.period)


class CategoricalFeature(Section):
    """One or several of a known vocabulary."""

    type: Literal["categorical"]
    name: FactName
    vocabulary: Annotated[list[str], Field(min_length=1, max_length=1000), AfterValidator(_refuse_repeats)]

    def compile(self) -> core_features.Categorical:
        return core_features.Categorical(self.name, tuple(self.vocabulary))


class HashedFeature(Section):
    """One or several of an open vocabulary, hashed."""

    type: Literal["hashed"]
    name: FactName
    buckets: Annotated[int, Field(ge=2, le=1000)]

    def compile(self) -> core_features.Hashed:
        return core_features.Hashed(self.name, self.buckets)


class EmbeddingFeature(Section):
    """A vector made elsewhere."""

    type: Literal["embedding"]
    name: FactName
    dimensions: Annotated[int, Field(ge=1, le=1000)]
    clip: Clip = 5.0

    def compile(self) -> core_features.Embedding:
        return core_features.Embedding(self.name, self.dimensions, self.clip)


class CrossFeature(Section):
    """What several features of the same side say together, hashed."""

    type: Literal["cross"]
    name: FactName
    of: Annotated[list[FactName], Field(min_length=1, max_length=4), AfterValidator(_refuse_repeats)]
    buckets: Annotated[int, Field(ge=2, le=1000)]

    def compile(self) -> core_features.Cross:
        return core_features.Cross(self.name, tuple(self.of), self.buckets)


class RecentFeature(Section):
    """The mean of an item embedding over the items that a person clicked last."""

    type: Literal["recent"]
    name: FactName
    of: FactName
    dimensions: Annotated[int, Field(ge=1, le=1000)]
    last: Annotated[int, Field(ge=1, le=core_features.MAX_RECENT)] = 5
    clip: Clip = 5.0

    def compile(self) -> core_features.Recent:
        return core_features.Recent(self.name, self.of, self.dimensions, self.last, self.clip)


FeatureConfig: TypeAlias = Annotated[
    NumericFeature
    | CyclicFeature
    | CategoricalFeature
    | HashedFeature
    | EmbeddingFeature
    | CrossFeature
    | RecentFeature,
    Field(discriminator="type"),
]


class Features(Section):
    """What a learner sees. `hour` (0 to 23) and `weekday` (0 is Monday) are there for every context."""

    item: list[FeatureConfig] = []
    context: list[FeatureConfig] = []

    def compile(self, kind: str = "linear") -> FeatureSpec:
        return FeatureSpec(
            tuple(feature.compile() for feature in self.item),
            tuple(feature.compile() for feature in self.context),
            kind,
        )


class Model(Section):
    """A learner; variants that name it share it."""

    type: Literal["linear"] = "linear"
    features: Name
    prior_precision: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0
    noise: Annotated[float, Field(gt=0, le=1e6)] | None = None
    half_life_s: Seconds | None = None
    conversions: bool = False

    def compile(self, spec: FeatureSpec) -> Learner:
        half_life_s = math.inf if self.half_life_s is None else self.half_life_s
        return LinearLearner(spec.context_width, spec.item_width, self.prior_precision, half_life_s, self.noise)


class LinearThompsonPolicy(Section):
    """Linear Thompson sampling. `exploration` is a fraction of the estimated noise."""

    type: Literal["linear_ts"]
    exploration: Annotated[float, Field(ge=0, le=10)] = 0.3

    def compile(self) -> Policy:
        return Thompson(self.exploration)


class UniformPolicy(Section):
    """Every item equally likely."""

    type: Literal["uniform"]

    def compile(self) -> Policy:
        return Uniform()


PolicyConfig: TypeAlias = Annotated[LinearThompsonPolicy | UniformPolicy, Field(discriminator="type")]


class Variant(Section):
    """One arm of an experiment. Units: share in basis points of the placement's people."""

    share: Annotated[int, Field(ge=0, le=10_000)]
    policy: Name
    model: Name | None = None
    recommender: Name = "main"


class Placement(Section):
    """A surface that shows a slate, and the people who are split over it."""

    slots: Annotated[int, Field(ge=1, le=255)] = 3
    max_limit: Annotated[int, Field(ge=1, le=255)] = 50
    max_candidates: Annotated[int, Field(ge=1, le=100_000)] = 1000
    time_zone: str = "UTC"
    rewards: dict[Name, Weight] = {CLICK: 1.0}
    salt: str = ""
    variants: Annotated[dict[Name, Variant], Field(min_length=1)]

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Asia" names a folder of the database
            near = suggest(zone, available_timezones())
            raise ValueError(f"{zone[:60]!r} is not an IANA time zone such as Asia/Tokyo{near}") from None
        return zone


class Learning(Section):
    """When a delivery's events become an example."""

    session_gap_s: Seconds = 600.0
    session_max_s: Seconds = 3600.0
    reward_window_s: Seconds = 86_400.0
    allowed_lateness_s: Seconds = 3600.0
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 500
    publish_interval_s: Annotated[float, Field(ge=0, le=3600)] = 2.0
    attribution_window_s: Seconds = 604_800.0
    max_click_rate_ratio: Annotated[float, Field(gt=1, le=1000)] | None = None

    def rules(self) -> SessionRules:
        return SessionRules(self.session_gap_s, self.session_max_s, self.reward_window_s, self.allowed_lateness_s)


class Recommender(Section):
    """A deployment that serves variants. Without a target the supervisor starts one on this machine."""

    target: str | None = None
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 0.25


class Traffic(Section):
    """What is taken for a machine's doing, or a cheat's: its deliveries are excluded from learning."""

    max_events_per_minute_of_user: Annotated[int, Field(ge=1)] | None = None
    max_events_per_minute_of_address: Annotated[int, Field(ge=1)] | None = None
    min_click_delay_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    bots: list[str] = ["bot", "crawler", "spider", "headless", "preview"]


class People(Section):
    """What is kept of people, and how long."""

    retention_s: Seconds = 7_776_000.0


BUILT_IN_EVENT_TYPES = frozenset({IMPRESSION, CLICK, CONVERSION, RETURN})


class Product(Section):
    """A whole configuration."""

    placements: Annotated[dict[Name, Placement], Field(min_length=1)]
    features: dict[Name, Features] = {}
    models: dict[Name, Model] = {}
    policies: Annotated[dict[Name, PolicyConfig], Field(min_length=1)]
    recommenders: Annotated[dict[Name, Recommender], Field(min_length=1)] = {"main": Recommender()}
    learning: Learning = Learning()
    traffic: Traffic = Traffic()
    people: People = People()
    event_types: list[Name] = []
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None

    def known_event_types(self) -> frozenset[str]:
        """What tracking accepts: the three that everyone has, and the configured ones. Rewards name no others."""
        return BUILT_IN_EVENT_TYPES | frozenset(self.event_types)

    def reward_tables(self) -> dict[str, RewardTable]:
        converting = frozenset(name for name, model in self.models.items() if model.conversions)
        return {name: RewardTable(dict(placement.rewards), converting) for name, placement in self.placements.items()}

    def feature_spec(self, model: str) -> FeatureSpec:
        """The compiled features of a model."""
        configured = self.models[model]
        return self.features[configured.features].compile(configured.type)

    def remembers_clicks(self) -> bool:
        """Whether some model's features need to know what a person clicked last."""
        return any(self.feature_spec(model).recents for model in self.models)
