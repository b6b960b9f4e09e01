"""A model made anew from the examples in the warehouse, exactly once against the trainer that goes on meanwhile.

A tick writes its examples before it commits, so every batch up to the last that a trainer committed is there whole, and
what is above is of a tick that was not committed. The rebuilt snapshot holds the batches up to that one: those that are
still pending are in it, and will be skipped; the next continues it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from omakase import models
from omakase.config.schema import Product
from omakase.core.errors import InvalidInput, NotFound
from omakase.core.features import FeatureSpec
from omakase.core.policies import Belief
from omakase.core.suggestion import suggest
from omakase.models import REBUILD, Damaged, Published
from omakase.ports.model_store import ModelKey, ModelStore
from omakase.ports.training_state import TrainingState
from omakase.ports.warehouse import Warehouse
from omakase.repairs.history import Choice, Extent, History, Progress, Refolded
from omakase.repairs.reencoding import Encoder
from omakase.snapshots import Snapshot, model_key


@dataclass(frozen=True, slots=True)
class Learner:
    """A model as it is configured. Units: half_life_s in seconds, infinite where nothing is forgotten."""

    name: str
    spec: FeatureSpec
    half_life_s: float
    prior_precision: float

    @classmethod
    def of(cls, product: Product, name: str) -> Learner:
        """Raises: NotFound naming the nearest model."""
        if name not in product.models:
            raise NotFound(f"the configuration has no model {name!r}{suggest(name, product.models)}")
        model = product.models[name]
        half_life_s = math.inf if model.half_life_s is None else model.half_life_s
        return cls(name, product.feature_spec(name), half_life_s, model.prior_precision)

    @property
    def key(self) -> ModelKey:
        return model_key(self.name, self.spec.schema_id)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was published (None: there was nothing new), of how many rows, and what a person must know of it."""

    published: Published | None
    rows: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rebuilder:
    """Over the stores of one trainer, whose batches are those of `shard`."""

    store: ModelStore
    state: TrainingState
    warehouse: Warehouse
    shard: str

    def rebuild(
        self, key: ModelKey, choice: Choice, learner: Learner | None, now: float, on_rows: Progress = lambda *_: None
    ) -> Rebuilt:
        """Put the sums of all chosen examples in the place of a model, whether that can be read or not.

        The trainer waits only for the last of it. A frozen model stays frozen. Without a `learner` the half-life is
        that of the model, and the prior precision 1.
        Raises: InvalidInput if there are no such examples, or the half-life is known from nowhere; Conflict if others
        wrote all the time; Corrupt if the sums could not be served.
        """
        history = History(self.warehouse, key, choice)
        half_life_s, prior = self._forgetting(key, learner)
        found, done = Refolded(), dict[str, int]()
        for _ in range(2):  # what came during the first, which may take long, is little
            through = self._through(key, history.extents())
            history.refold(found, done, through, half_life_s, on_rows)
            done = through
        with self.state.held():
            extents = history.extents()
            through = self._through(key, extents)
            history.refold(found, done, through, half_life_s)
            sums = found.sums
            if sums is None:
                raise InvalidInput(f"the warehouse holds no such examples of {key}")
            Belief.of(sums, prior)  # refuse what no recommender could serve
            warnings = _missing(extents, through)

            def made(current: Published | Damaged) -> Snapshot:
                model, _, schema_id = key.rpartition("/")
                before = current.snapshot if isinstance(current, Published) else Snapshot(model, schema_id, sums)
                sequences = {name: n for name, n in before.sequences.items() if not models.is_repair(name)}
                reason = f"rebuilt from {found.rows} rows{', still frozen: ' + before.reason if before.frozen else ''}"
                return Snapshot(
                    model, schema_id, sums, {**sequences, **through}, now, frozen=before.frozen, reason=reason
                )

            before = models.look(self.store, key)
            published = models.change(self.store, key, made)
        return Rebuilt(published, found.rows, (*warnings, *_dropped(before)))

    def carry_over(
        self, old: ModelKey, learner: Learner, choice: Choice, now: float, on_rows: Progress = lambda *_: None
    ) -> Rebuilt:
        """Add what `old` learnt to a model of other features, which are made from the facts that were logged.

        Run again, it adds only what is new since. Raises: InvalidInput if both are one; Conflict; Corrupt.
        """
        if old == learner.key:
            raise InvalidInput(f"{old} is the configured schema itself: rebuild it without a new schema")
        history = History(self.warehouse, old, choice, Encoder(learner.spec))
        extents = history.extents()
        through = self._through(old, extents)
        names = {shard: f"{REBUILD}{old}:{shard}" for shard in through}
        current = models.look(self.store, learner.key)
        added = current.snapshot.sequences if isinstance(current, Published) else {}
        after = {shard: added.get(name, 0) for shard, name in names.items()}
        found = Refolded()
        history.refold(found, after, through, learner.half_life_s, on_rows)
        left_out = tuple(f"{n} rows were left out: {why}" for why, n in found.left_out.most_common())
        if found.sums is None:
            return Rebuilt(None, 0, left_out)
        steps = {names[shard]: (after[shard], last) for shard, last in through.items() if last > after[shard]}
        published = models.extend(self.store, learner.key, found.sums, steps, learner.prior_precision, now)
        return Rebuilt(published, found.rows, (*left_out, *_missing(extents, through)))

    def _through(self, key: ModelKey, extents: list[Extent]) -> dict[str, int]:
        """Up to which batch of each shard the examples are of committed ticks.

        Of a trainer whose memory was lost nobody knows what its last tick committed: of its batches the last counts
        only if a snapshot holds it.
        """
        kept = models.kept(self.store, key)
        learnt: Mapping[str, int] = kept.snapshot.sequences if kept else {}
        through = {one.shard: max(one.last - 1, min(one.last, learnt.get(one.shard, 0))) for one in extents}
        last = self.state.progress().sequences.get(key, 0)
        return {shard: n for shard, n in {**through, self.shard: last}.items() if n}

    def _forgetting(self, key: ModelKey, learner: Learner | None) -> tuple[float, float]:
        """Half-life and prior precision."""
        if learner is not None:
            if learner.key != key:
                raise InvalidInput(
                    f"the configuration's features make {learner.key}, not {key}: name that one, or add the old one's "
                    "examples to it with a new schema"
                )
            return learner.half_life_s, learner.prior_precision
        kept = models.kept(self.store, key)
        if kept is None:
            raise InvalidInput(f"no snapshot of {key} can be read, so its half-life is not known: give --config")
        return kept.snapshot.statistics.half_life_s, 1.0


def _missing(extents: list[Extent], through: Mapping[str, int]) -> list[str]:
    """Batches of which there are no examples, in words."""
    there = {extent.shard: extent for extent in extents}
    missing = []
    for shard, last in through.items():
        extent = there.get(shard)
        first = extent.first if extent else last + 1
        gone = last - first + 1 - (extent.batches if extent else 0)
        if first > 1:
            missing.append(
                f"the warehouse has no examples of batches 1 to {first - 1} of {shard} any more: what was learnt from "
                "them is not in it"
            )
        if gone > 0:
            missing.append(f"the warehouse has no examples of {gone} later batches of {shard}: they are not in it")
    return missing


def _dropped(before: Published | Damaged) -> list[str]:
    """What the model held that is not among its own examples, in words."""
    if isinstance(before, Damaged):
        return ["the snapshot before could not be read: if it was frozen, the rebuilt one is not"]
    dropped = [name for name in before.snapshot.sequences if models.is_repair(name)]
    return [f"{name} was in the model and is not in the rebuilt one: add it again" for name in sorted(dropped)]
