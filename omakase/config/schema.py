"""The product's configuration, as people write it: one YAML file, every field once.

Durations end in `_s` and are seconds. Fields are validated here one by one; what spans several of them, such as a
variant that names a model that does not exist, is checked in `omakase.config.consistency`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from omakase.config.adapters import Adapters
from omakase.config.experiments import Experiment, Holdout
from omakase.config.placements import Placement, Variant
from omakase.config.sections import (
    Clip,
    FactName,
    Finite,
    Name,
    Positive,
    Seconds,
    Section,
    refuse_repeats,
)
from omakase.core import features as core_features
from omakase.core.context_free import Popularity
from omakase.core.epsilon_greedy import EpsilonGreedy
from omakase.core.events import CLICK, CONVERSION, IMPRESSION, RETURN
from omakase.core.features import FeatureSpec
from omakase.core.item_learner import PerItemLearner
from omakase.core.learners import Learner, LinearLearner
from omakase.core.logistic import LogisticLearner
from omakase.core.policies import Policy, Source, Thompson, Uniform
from omakase.core.rewards import RewardTable
from omakase.core.sessions import SessionRules

# A model keeps d² numbers and is factored anew, d³/3 multiplications, at every publication: 34 MB and about half a
# second at this bound.
MAX_DIMENSIONS = 2048
# A per-item model keeps q² numbers an item: half a megabyte at this bound.
MAX_ITEM_DIMENSIONS = 256
PER_ITEM_INTERVAL_S = 10.0


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
    vocabulary: Annotated[list[str], Field(min_length=1, max_length=1000), AfterValidator(refuse_repeats)]

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
    of: Annotated[list[FactName], Field(min_length=1, max_length=4), AfterValidator(refuse_repeats)]
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

    type: Literal["linear", "logistic", "per_item"] = "linear"
    features: Name
    prior_precision: Annotated[float, Field(ge=1e-6, le=1e6)] | None = None
    noise: Annotated[float, Field(gt=0, le=1e6)] | None = None
    half_life_s: Seconds | None = None
    item_prior_precision: Annotated[float, Field(ge=1e-3, le=1e9)] | None = None
    publish_interval_s: Annotated[float, Field(ge=0, le=3600)] | None = None
    conversions: bool = False

    def compile(self, spec: FeatureSpec) -> Learner:
        half_life_s = math.inf if self.half_life_s is None else self.half_life_s
        prior_precision = self.prior_precision or (10.0 if self.type == "logistic" else 1.0)
        if self.type == "per_item":
            widths = spec.context_width, spec.item_width
            return PerItemLearner(*widths, prior_precision, half_life_s, self.noise, self.item_prior_precision)
        if self.type == "logistic":
            return LogisticLearner(spec.context_width, spec.item_width, prior_precision, half_life_s)
        return LinearLearner(spec.context_width, spec.item_width, prior_precision, half_life_s, self.noise)


class LinearThompsonPolicy(Section):
    """Linear Thompson sampling. `exploration` is a fraction of the estimated noise."""

    type: Literal["linear_ts"]
    exploration: Annotated[float, Field(ge=0, le=10)] = 0.3

    def compile(self) -> Policy:
        return Thompson(self.exploration)


class LogisticThompsonPolicy(Section):
    """Thompson sampling from a logistic model. `exploration` is a fraction of the posterior's deviation."""

    type: Literal["logistic_ts"]
    exploration: Annotated[float, Field(ge=0, le=10)] = 0.3

    def compile(self) -> Policy:
        return Thompson(self.exploration)


class UniformPolicy(Section):
    """Every item equally likely."""

    type: Literal["uniform"]

    def compile(self) -> Policy:
        return Uniform()


class BetaThompsonPolicy(Section):
    """Thompson sampling by click rates alone, whatever the context. A relative path is one beside the configuration."""

    type: Literal["beta_ts"]
    exploration: Annotated[float, Field(ge=0, le=10)] = 0.5
    prior_weight: Annotated[float, Field(ge=0.1, le=1e6)] = 100.0
    priors: Annotated[str, Field(min_length=1, max_length=4096)] | None = None

    def compile(self) -> Policy:
        return Thompson(self.exploration, Source.COUNTS)


class PopularityPolicy(Section):
    """What is clicked most often when it is looked at."""

    type: Literal["popularity"]

    def compile(self) -> Policy:
        return Popularity()


class EpsilonGreedyPolicy(Section):
    """Mostly what is believed to be best, in each slot now and then anything."""

    type: Literal["epsilon_greedy"]
    epsilon: Annotated[float, Field(ge=0, le=1)] = 0.1
    over: Literal["model", "popularity"] = "model"
    decay_examples: Annotated[float, Field(gt=0, le=1e12)] | None = None
    min_epsilon: Annotated[float, Field(ge=0, le=1)] = 0.0
    tail: Annotated[float, Field(ge=0, le=1)] = 0.0

    def compile(self) -> Policy:
        source = Source.MODEL if self.over == "model" else Source.COUNTS
        return EpsilonGreedy(self.epsilon, source, self.decay_examples, self.min_epsilon, self.tail)


PolicyConfig: TypeAlias = Annotated[
    LinearThompsonPolicy
    | LogisticThompsonPolicy
    | BetaThompsonPolicy
    | EpsilonGreedyPolicy
    | PopularityPolicy
    | UniformPolicy,
    Field(discriminator="type"),
]


class Learning(Section):
    """When a delivery's events become an example."""

    session_gap_s: Seconds = 600.0
    session_max_s: Seconds = 3600.0
    reward_window_s: Seconds = 86_400.0
    allowed_lateness_s: Seconds = 3600.0
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 500
    publish_interval_s: Annotated[float, Field(ge=0, le=3600)] = 2.0
    attribution_window_s: Seconds = 604_800.0
    counts_half_life_s: Seconds = 604_800.0
    max_click_rate_ratio: Annotated[float, Field(gt=1, le=1000)] | None = None

    def rules(self) -> SessionRules:
        return SessionRules(self.session_gap_s, self.session_max_s, self.reward_window_s, self.allowed_lateness_s)


class Recommender(Section):
    """A deployment that serves variants. Without a target the supervisor starts one on this machine; a list of targets
    are replicas, each of which can serve what another could not."""

    target: str | Annotated[list[str], Field(min_length=1)] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 0.25


class CountedPropensities(Section):
    """How much is counted of how likely slates were, where no formula says. `cpu_share`: of what serving takes."""

    occurrences: Annotated[int, Field(ge=1, le=1000)] = 4
    max_draws: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    cpu_share: Annotated[float, Field(ge=0, le=10)] = 0.2

    @model_validator(mode="after")
    def _has_draws_enough(self) -> Self:
        if self.occurrences > self.max_draws:
            raise ValueError(f"max_draws must be at least {self.occurrences}, the occurrences")
        return self


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
    experiments: dict[Name, Experiment] = {}
    holdout: Holdout | None = None
    features: dict[Name, Features] = {}
    models: dict[Name, Model] = {}
    policies: Annotated[dict[Name, PolicyConfig], Field(min_length=1)]
    recommenders: Annotated[dict[Name, Recommender], Field(min_length=1)] = {"main": Recommender()}
    learning: Learning = Learning()
    propensities: CountedPropensities = CountedPropensities()
    traffic: Traffic = Traffic()
    people: People = People()
    event_types: list[Name] = []
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None
    adapters: Adapters = Adapters()

    def known_event_types(self) -> frozenset[str]:
        """What tracking accepts: the three that everyone has, and the configured ones. Rewards name no others."""
        return BUILT_IN_EVENT_TYPES | frozenset(self.event_types)

    def files(self) -> list[Path]:
        """The files that it names: absolute, once it was loaded."""
        policies = self.policies.values()
        named = [policy.priors for policy in policies if isinstance(policy, BetaThompsonPolicy) and policy.priors]
        return [Path(file) for file in named]

    def reward_tables(self) -> dict[str, RewardTable]:
        converting = frozenset(name for name, model in self.models.items() if model.conversions)
        return {name: placement.reward_table(converting) for name, placement in self.placements.items()}

    def layer_of(self, placement: str) -> str:
        """The layer whose experiments run at a placement."""
        return self.placements[placement].layer or placement

    def experiments_at(self, placement: str) -> dict[str, Experiment]:
        """The experiments that run at a placement, by name."""
        return {name: one for name, one in self.experiments.items() if placement in one.placements}

    def arms_at(self, placement: str) -> dict[str, Variant]:
        """All that may be ranked for somebody at a placement: its variants, its shadows, those of experiments."""
        configured = self.placements[placement]
        arms = {**configured.variants, **configured.shadows}
        for experiment in self.experiments_at(placement).values():
            arms |= experiment.variants
        return arms

    def feature_spec(self, model: str) -> FeatureSpec:
        """The compiled features of a model."""
        configured = self.models[model]
        return self.features[configured.features].compile(configured.type)

    def publish_interval_s(self, model: str) -> float:
        """A model's own, else that of all, but snapshots of per-item models are large."""
        configured, shared = self.models[model], self.learning.publish_interval_s
        if configured.publish_interval_s is not None:
            return configured.publish_interval_s
        return max(shared, PER_ITEM_INTERVAL_S) if configured.type == "per_item" else shared

    def remembers_clicks(self) -> bool:
        """Whether some model's features need to know what a person clicked last."""
        return any(self.feature_spec(model).recents for model in self.models)
