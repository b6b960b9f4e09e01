"""From the stores to the next bundle, in a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

import numpy as np
from scipy.linalg import LinAlgError, cholesky

from omakase.config.schema import Product
from omakase.core.catalogue import Catalogue
from omakase.core.errors import Corrupt
from omakase.core.features import FeatureSpec
from omakase.core.policies import Belief
from omakase.core.posterior import Statistics
from omakase.ports.catalogue_store import CatalogueStore
from omakase.ports.model_store import ModelStore
from omakase.serving.newest import Newest
from omakase.snapshots import decode_snapshot, model_key, model_version
from recommender import metrics
from recommender.bundle import Bundle, ItemMatrix, Rules, ServedModel

log = logging.getLogger(__name__)

# Sums of real examples are positive semidefinite up to rounding: this share of the mean diagonal is allowed for it.
_ROUNDING = 1e-9


class _Learner:
    """One configured model: what it sees, where its snapshots are, what it believes before the first."""

    def __init__(self, name: str, product: Product, store: ModelStore) -> None:
        self.name = name
        self.spec = product.feature_spec(name)
        self.key = model_key(name, self.spec.schema_id)
        prior_precision = product.models[name].prior_precision
        self.newest = Newest(store, self.key, partial(_believe, name, self.spec, prior_precision))
        self.prior = Belief.of(Statistics.empty(self.spec.dimensions), prior_precision)

    def served(self, items: ItemMatrix) -> ServedModel | None:
        """Nothing where every snapshot was refused: what was learnt is not to be silently forgotten."""
        if self.newest.is_refused:
            return None
        version = model_version(self.key, self.newest.generation)
        return ServedModel(self.key, version, self.spec, self.newest.value or self.prior, items)


class BundleLoader:
    """Called by a Refresher: looks at the generations and builds a new bundle when one has changed.

    Raises: Unavailable or Corrupt when the catalogue cannot be read, Unavailable before the first sight of the models.
    """

    def __init__(self, product: Product, catalogue: CatalogueStore, models: ModelStore) -> None:
        self._rules = Rules.of(product)
        self._store = catalogue
        self._learners = [_Learner(name, product, models) for name in product.models]

    def __call__(self, current: Bundle | None) -> Bundle:
        changed = [learner.newest.refresh() for learner in self._learners]
        for learner in self._learners:
            metrics.GENERATION.labels(learner.key).set(learner.newest.generation)
            metrics.REFUSALS.labels(learner.key).set(learner.newest.refusals)
        matrices: Mapping[str, ItemMatrix]
        if current is None or self._store.generation() != current.catalogue.generation:
            catalogue = self._store.load()
            matrices = self._encode(catalogue)
        elif any(changed):
            catalogue = current.catalogue
            matrices = {model.spec.schema_id: model.items for model in current.models.values()}
        else:
            return current
        return Bundle.of(self._rules, catalogue, self._serve(catalogue, matrices))

    def _serve(self, catalogue: Catalogue, matrices: Mapping[str, ItemMatrix]) -> dict[str, ServedModel]:
        models = {}
        for learner in self._learners:
            items = matrices.get(learner.spec.schema_id) or ItemMatrix.of(catalogue, learner.spec)
            served = learner.served(items)
            if served is not None:
                models[learner.name] = served
        return models

    def _encode(self, catalogue: Catalogue) -> dict[str, ItemMatrix]:
        """One matrix per feature schema, however many models share it."""
        matrices: dict[str, ItemMatrix] = {}
        for learner in self._learners:
            if learner.spec.schema_id not in matrices:
                matrices[learner.spec.schema_id] = ItemMatrix.of(catalogue, learner.spec)
            misfits = matrices[learner.spec.schema_id].misfits
            metrics.MISFITS.labels(learner.key).set(len(misfits))
            for item_id, reason in misfits.items():
                log.error("model %s cannot show item %r: %s", learner.name, item_id, reason)
        metrics.CATALOGUE.set(catalogue.generation)
        log.info("catalogue generation %d: %d items", catalogue.generation, len(catalogue.items))
        return matrices


def _believe(name: str, spec: FeatureSpec, prior_precision: float, body: bytes) -> Belief:
    """A snapshot made ready to serve. Raises: Corrupt if it is another model's or not the sums of real examples."""
    snapshot = decode_snapshot(body)
    statistics = snapshot.statistics
    if (snapshot.model, snapshot.schema_id) != (name, spec.schema_id) or statistics.dimensions != spec.dimensions:
        raise Corrupt(
            f"it is of model {snapshot.model!r}, schema {snapshot.schema_id!r}, {statistics.dimensions} dimensions, "
            f"not {name!r}, {spec.schema_id!r}, {spec.dimensions}"
        )
    slack = _ROUNDING * max(float(np.trace(statistics.precision)) / spec.dimensions, 1.0)
    try:
        cholesky(statistics.precision + slack * np.eye(spec.dimensions), lower=True)
    except LinAlgError as error:
        raise Corrupt(f"precision is indefinite: {error}") from error
    least = -_ROUNDING * max(statistics.weight, 1.0)
    if statistics.weight < 0 or any(outcome.energy < least for outcome in statistics.outcomes.values()):
        raise Corrupt("weights and squares cannot sum to less than nothing")
    return Belief.of(statistics, prior_precision)
