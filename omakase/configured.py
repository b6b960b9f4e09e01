"""Models as the configuration has them: their name, their features, how they learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from omakase.config import Product
from omakase.core.beliefs import Belief
from omakase.core.errors import Corrupt, NotFound
from omakase.core.features import FeatureSpec
from omakase.core.learners import Learner
from omakase.core.suggestion import suggest
from omakase.ports.model_store import ModelKey
from omakase.snapshots import Snapshot, model_key

# (m, p): how wide the context's and the item's factor of a model are.
Widths: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ConfiguredModel:
    """One model of a configuration."""

    name: str
    spec: FeatureSpec
    learner: Learner

    @classmethod
    def of(cls, product: Product, name: str) -> ConfiguredModel:
        """Raises: NotFound naming the nearest model."""
        if name not in product.models:
            raise NotFound(f"the configuration has no model {name!r}{suggest(name, product.models)}")
        spec = product.feature_spec(name)
        return cls(name, spec, product.models[name].compile(spec))

    @property
    def key(self) -> ModelKey:
        return model_key(self.name, self.spec.schema_id)

    def believe(self, snapshot: Snapshot) -> Belief:
        """A snapshot made ready to serve. Raises: Corrupt if it is another model's or not the sums of real examples."""
        found, spec = snapshot.statistics.dimensions, self.spec
        if (snapshot.model, snapshot.schema_id) != (self.name, spec.schema_id) or found != spec.dimensions:
            raise Corrupt(
                f"it is of model {snapshot.model!r}, schema {snapshot.schema_id!r}, {found} dimensions, "
                f"not {self.name!r}, {spec.schema_id!r}, {spec.dimensions}"
            )
        return self.learner.believe(snapshot.statistics)

    @property
    def widths(self) -> Widths:
        return self.spec.context_width, self.spec.item_width


def models_of(product: Product) -> dict[ModelKey, ConfiguredModel]:
    """All models, by key."""
    found = (ConfiguredModel.of(product, name) for name in product.models)
    return {model.key: model for model in found}


def learners_of(product: Product) -> dict[str, Learner]:
    """How each model learns, by key."""
    return {key: model.learner for key, model in models_of(product).items()}


def intervals_of(product: Product) -> dict[str, float]:
    """At most how often each model is published, by key: seconds between its snapshots."""
    return {key: product.publish_interval_s(model.name) for key, model in models_of(product).items()}


def widths_of(product: Product) -> dict[str, Widths]:
    """How wide the features of each model are, by key."""
    return {key: model.widths for key, model in models_of(product).items()}
