"""From the stores to the next bundle, in a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import islice
from typing import TypeAlias

from omakase.config.schema import Product
from omakase.configured import ConfiguredModel
from omakase.core.beliefs import Belief, Factors, Scorer
from omakase.core.catalogue import Catalogue
from omakase.core.features import Feature
from omakase.ports.catalogue_store import CatalogueStore
from omakase.ports.model_store import ModelStore
from omakase.serving.newest import Newest
from omakase.snapshots import decode_snapshot, model_version
from recommender import metrics
from recommender.bundle import Bundle, Rules, ServedModel
from recommender.counting import counts_of
from recommender.displays import displays_of
from recommender.item_matrix import ItemMatrix

log = logging.getLogger(__name__)

ItemSide: TypeAlias = tuple[Feature, ...]

# A feature of the wrong type fits none of a million items.
_MOST_TOLD = 20


class _Model:
    """One configured model: what it sees, where its snapshots are, what it believes before the first."""

    def __init__(self, configured: ConfiguredModel, store: ModelStore) -> None:
        self.configured = configured
        self.name = configured.name
        self.spec = configured.spec
        self.key = configured.key
        self.newest = Newest(store, self.key, partial(_believe, configured))
        self._prior = configured.learner.believe(configured.learner.empty())
        self._bound: tuple[Belief, Factors, Scorer] | None = None

    def served(self, items: ItemMatrix) -> ServedModel | None:
        """Nothing where every snapshot was refused: what was learnt is not to be silently forgotten."""
        if self.newest.is_refused:
            return None
        version = model_version(self.key, self.newest.generation)
        return ServedModel(self.key, version, self.spec, self._scorer(self.newest.value or self._prior, items), items)

    def _scorer(self, belief: Belief, items: ItemMatrix) -> Scorer:
        """Bound anew only where the belief or the items' factors have changed."""
        if self._bound is None or self._bound[0] is not belief or self._bound[1] is not items.factors:
            self._bound = belief, items.factors, belief.over(items.catalogue.item_ids, items.factors)
        return self._bound[2]


class BundleLoader:
    """Called by a Refresher: looks at the generations and builds a new bundle when one has changed.

    Of one configuration; `before` is the loader of the one before, whose models go on where they are the same.

    Raises: Unavailable or Corrupt when the catalogue cannot be read, Unavailable before the first sight of the models.
    """

    def __init__(
        self, product: Product, catalogue: CatalogueStore, models: ModelStore, before: BundleLoader | None = None
    ) -> None:
        self._rules = Rules.of(product)
        self._store = catalogue
        found = [ConfiguredModel.of(product, name) for name in product.models]
        known = [] if before is None else before.models
        same = {model.name: model for model in known if model.configured in found}
        self.models: list[_Model] = [same.get(configured.name) or _Model(configured, models) for configured in found]
        self._counts = counts_of(product, self._rules.policies, models)
        self._displays = displays_of(product, models)
        self.is_due = True  # whether a bundle must be built even if nothing changes any more

    def __call__(self, current: Bundle | None) -> Bundle:
        changed = [model.newest.refresh() for model in self.models] + [counts.refresh() for counts in self._counts]
        changed += [display.refresh() for display in self._displays.values()]
        self.is_due |= any(changed)
        for model in self.models:
            metrics.GENERATION.labels(model.key).set(model.newest.generation)
            metrics.REFUSALS.labels(model.key).set(model.newest.refusals)
        if current is None or self._store.generation() != current.catalogue.generation:
            catalogue = self._store.load(current.catalogue if current else None)
            matrices = self._encode(catalogue, {served.spec.item: served.items for served in _served(current)})
        elif self.is_due:
            catalogue = current.catalogue
            matrices = {served.spec.item: served.items for served in _served(current)}
        else:
            return current
        counted = {where: found for counts in self._counts for where, found in counts.served(catalogue).items()}
        displays = {name: display.served(catalogue) for name, display in self._displays.items()}
        bundle = Bundle.of(self._rules, catalogue, self._serve(catalogue, matrices), counted, displays)
        self.is_due = False
        return bundle

    def _serve(self, catalogue: Catalogue, matrices: dict[ItemSide, ItemMatrix]) -> dict[str, ServedModel]:
        models = {}
        for model in self.models:
            if model.spec.item not in matrices:
                matrices[model.spec.item] = ItemMatrix.of(catalogue, model.spec)
            served = model.served(matrices[model.spec.item])
            if served is not None:
                models[model.name] = served
        return models

    def _encode(self, catalogue: Catalogue, before: Mapping[ItemSide, ItemMatrix]) -> dict[ItemSide, ItemMatrix]:
        """One matrix per set of item features, however many models share it, each going on from that of `before`."""
        matrices: dict[ItemSide, ItemMatrix] = {}
        for model in self.models:
            if model.spec.item not in matrices:
                matrices[model.spec.item] = ItemMatrix.of(catalogue, model.spec, before.get(model.spec.item))
            known, misfits = before.get(model.spec.item), matrices[model.spec.item].misfits
            metrics.MISFITS.labels(model.key).set(len(misfits))
            if known is not None and known.misfits == misfits:
                continue
            for item_id, reason in islice(misfits.items(), _MOST_TOLD):
                log.error("model %s cannot show item %r: %s", model.name, item_id, reason)
            if len(misfits) > _MOST_TOLD:
                log.error("model %s cannot show %d more items", model.name, len(misfits) - _MOST_TOLD)
        metrics.CATALOGUE.set(catalogue.generation)
        log.info("catalogue generation %d: %d items", catalogue.generation, len(catalogue))
        return matrices


def _served(bundle: Bundle | None) -> Iterable[ServedModel]:
    return () if bundle is None else bundle.models.values()


def _believe(model: ConfiguredModel, body: bytes) -> Belief:
    """A snapshot made ready to serve. Raises: Corrupt if it is another model's or not the sums of real examples."""
    return model.believe(decode_snapshot(body))
