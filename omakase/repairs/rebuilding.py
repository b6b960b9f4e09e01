"""A model made anew from the examples in the warehouse, exactly once against the trainer that goes on meanwhile.

A tick writes its examples before it commits, so every batch up to the last that a trainer committed is there whole, and
what is above is of a tick that was not committed. The rebuilt snapshot holds the batches up to that one: those that are
still pending are in it, and will be skipped; the next continues it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from omakase import models
from omakase.configured import ConfiguredModel
from omakase.core.errors import InvalidInput
from omakase.core.item_learner import PerItemLearner
from omakase.core.learners import Learner, LinearLearner
from omakase.models import REBUILD, Damaged, Published
from omakase.ports.model_store import ModelKey, ModelStore
from omakase.ports.training_state import TrainingState
from omakase.ports.warehouse import Warehouse
from omakase.repairs.history import Choice, Extent, History, Progress, Refolded
from omakase.repairs.reencoding import Encoder
from omakase.snapshots import Snapshot


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
        self,
        key: ModelKey,
        choice: Choice,
        model: ConfiguredModel | None,
        now: float,
        on_rows: Progress = lambda *_: None,
    ) -> Rebuilt:
        """Put the sums of all chosen examples in the place of a model, whether that can be read or not.

        The trainer waits only for the last of it. A frozen model stays frozen. Without a configured `model` it is
        a linear or per-item one with the half-life of its snapshot.
        Raises: InvalidInput if there are no such examples, or how it learns is known from nowhere; Conflict if others
        wrote all the time; Corrupt if the sums could not be served.
        """
        history = History(self.warehouse, key, choice)
        learner = self._learner(key, model)
        found, done = Refolded(), dict[str, int]()
        for _ in range(2):  # what came during the first, which may take long, is little
            through = self._through(key, history.extents())
            history.refold(found, done, through, learner, on_rows)
            done = through
        with self.state.held():
            extents = history.extents()
            through = self._through(key, extents)
            history.refold(found, done, through, learner)
            sums = found.sums
            if sums is None:
                raise InvalidInput(f"the warehouse holds no such examples of {key}")
            learner.believe(sums)  # refuse what no recommender could serve
            warnings = _missing(extents, through)

            def made(current: Published | Damaged) -> Snapshot:
                name, _, schema_id = key.rpartition("/")
                before = current.snapshot if isinstance(current, Published) else Snapshot(name, schema_id, sums)
                sequences = {one: n for one, n in before.sequences.items() if not models.is_repair(one)}
                reason = f"rebuilt from {found.rows} rows{', still frozen: ' + before.reason if before.frozen else ''}"
                return Snapshot(
                    name, schema_id, sums, {**sequences, **through}, now, frozen=before.frozen, reason=reason
                )

            before = models.look(self.store, key)
            published = models.change(self.store, key, made)
        return Rebuilt(published, found.rows, (*warnings, *_dropped(before)))

    def carry_over(
        self, old: ModelKey, model: ConfiguredModel, choice: Choice, now: float, on_rows: Progress = lambda *_: None
    ) -> Rebuilt:
        """Add what `old` learnt to a model of other features, which are made from the facts that were logged.

        Run again, it adds only what is new since. Raises: InvalidInput if both are one; Conflict; Corrupt.
        """
        if old == model.key:
            raise InvalidInput(f"{old} is the configured schema itself: rebuild it without a new schema")
        history = History(self.warehouse, old, choice, Encoder(model.spec))
        extents = history.extents()
        through = self._through(old, extents)
        names = {shard: f"{REBUILD}{old}:{shard}" for shard in through}
        current = models.look(self.store, model.key)
        added = current.snapshot.sequences if isinstance(current, Published) else {}
        after = {shard: added.get(name, 0) for shard, name in names.items()}
        found = Refolded()
        history.refold(found, after, through, model.learner, on_rows)
        left_out = tuple(f"{n} rows were left out: {why}" for why, n in found.left_out.most_common())
        if found.sums is None:
            return Rebuilt(None, 0, left_out)
        steps = {names[shard]: (after[shard], last) for shard, last in through.items() if last > after[shard]}
        published = models.extend(self.store, model.key, found.sums, steps, model.learner, now)
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

    def _learner(self, key: ModelKey, model: ConfiguredModel | None) -> Learner:
        if model is not None:
            if model.key != key:
                raise InvalidInput(
                    f"the configuration's features make {model.key}, not {key}: name that one, or add the old one's "
                    "examples to it with a new schema"
                )
            return model.learner
        kept = models.kept(self.store, key)
        if kept is None:
            raise InvalidInput(f"no snapshot of {key} can be read, so its half-life is not known: give --config")
        if kept.snapshot.statistics.is_logit:
            raise InvalidInput(f"{key} is a logistic model, whose prior is not in its snapshot: give --config")
        sums = kept.snapshot.statistics
        if sums.items.item_ids:
            return PerItemLearner(sums.items.width - 1, 0, half_life_s=sums.half_life_s)
        return LinearLearner(0, 0, half_life_s=sums.half_life_s)


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
