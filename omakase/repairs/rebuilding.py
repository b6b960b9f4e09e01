"""A model made anew from the examples in the warehouse, exactly once against whoever goes on learning meanwhile.

A tick writes its examples before it commits, so every batch up to the last that a trainer committed is there whole, and
what is above is of a tick that was not committed. The rebuilt snapshot holds the batches up to that one: those that are
still pending are in it, and will be skipped; the next continues it.

A stream's examples come later than its snapshots. The rebuilt snapshot holds of it what the one before holds: if not
all of that is there, the model is held until it is, so that what is waited for does not run away.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from omakase import models
from omakase.configured import ConfiguredModel
from omakase.core.errors import Conflict, InvalidInput, Unavailable
from omakase.core.item_learner import PerItemLearner
from omakase.core.learners import Learner, LinearLearner
from omakase.models import REBUILD, Damaged, Published
from omakase.ports.model_store import ModelKey, ModelStore
from omakase.ports.training_state import TrainingState
from omakase.ports.warehouse import Warehouse
from omakase.repairs.history import Choice, History, Progress, Refolded
from omakase.repairs.reach import Reach, Reaching
from omakase.repairs.reencoding import Encoder
from omakase.snapshots import Snapshot

HELD = "held while it is rebuilt"
_POLL_S = 10.0


class _Behind(Exception):
    """The model holds batches of a stream whose examples were not read."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was published (None: there was nothing new), of how many rows, and what a person must know of it."""

    published: Published | None
    rows: int
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _Work:
    """What was read so far: `done` is up to which batch of each shard."""

    history: History
    learner: Learner
    now: float
    found: Refolded = field(default_factory=Refolded)
    done: dict[str, int] = field(default_factory=dict)

    def read(self, reach: Reach, on_rows: Progress = lambda *_: None) -> None:
        self.history.refold(self.found, self.done, reach.through, self.learner, on_rows)
        self.done = {**self.done, **reach.through}


@dataclass(frozen=True, slots=True)
class Rebuilder:
    """Over the stores of one trainer, whose batches are those of `shard`.

    The streams in `ended` are no running job's any more. What is late of the others is waited for up to `patience_s`.
    """

    store: ModelStore
    state: TrainingState
    warehouse: Warehouse
    shard: str
    ended: Collection[str] = ()
    patience_s: float = 300.0
    wait: Callable[[float], None] = time.sleep

    def rebuild(
        self,
        key: ModelKey,
        choice: Choice,
        model: ConfiguredModel | None,
        now: float,
        on_rows: Progress = lambda *_: None,
    ) -> Rebuilt:
        """Put the sums of all chosen examples in the place of a model, whether that can be read or not.

        The trainer waits only for the last of it; a stream's batches wait while the model is held for what is late. A
        frozen model stays frozen. Without a configured `model` it is a linear or per-item one with the half-life of its
        snapshot.
        Raises: InvalidInput if there are no such examples, or how it learns is known from nowhere; Conflict if others
        wrote all the time; Corrupt if the sums could not be served; Unavailable if examples of what the model holds
        have not come in time.
        """
        work = _Work(History(self.warehouse, key, choice), self._learner(key, model), now)
        for _ in range(2):  # what came during the first, which may take long, is little
            work.read(self._reaching.of(key, now), on_rows)
        try:
            return self._publish(key, work)
        except _Behind:
            with self._held(key, now):
                self._await(key, now)
                try:
                    return self._publish(key, work)
                except _Behind:
                    raise Conflict(f"somebody resumed {key} while it was rebuilt: try again") from None

    def _publish(self, key: ModelKey, work: _Work) -> Rebuilt:
        """Raises: _Behind; what `rebuild` does."""
        with self.state.held():
            reach = self._reaching.of(key, work.now)
            if reach.late:
                raise _Behind
            work.read(reach)
            sums = work.found.sums
            if sums is None:
                raise InvalidInput(f"the warehouse holds no such examples of {key}")
            work.learner.believe(sums)  # refuse what no recommender could serve

            def made(current: Published | Damaged) -> Snapshot:
                name, _, schema_id = key.rpartition("/")
                before = current.snapshot if isinstance(current, Published) else Snapshot(name, schema_id, sums)
                sequences = before.sequences
                if any(n > max(work.done.get(one, 0), reach.learnt.get(one, 0)) for one, n in sequences.items()):
                    raise _Behind
                is_frozen = before.frozen and before.reason != HELD
                reason = f"rebuilt from {work.found.rows} rows{', still frozen: ' + before.reason if is_frozen else ''}"
                held = {one: n for one, n in {**sequences, **work.done}.items() if self._is_kept(one, reach)}
                return Snapshot(name, schema_id, sums, held, work.now, frozen=is_frozen, reason=reason)

            before = models.look(self.store, key)
            published = models.change(self.store, key, made)
        return Rebuilt(published, work.found.rows, (*reach.warnings(), *self._left(reach), *_dropped(before)))

    def _is_kept(self, shard: str, reach: Reach) -> bool:
        """Not what nothing is held of any more, and nobody counts on."""
        return not models.is_repair(shard) and (shard not in self.ended or shard in reach.extents)

    def _await(self, key: ModelKey, now: float) -> None:
        """Raises: Unavailable if examples of what the model holds do not come."""
        for _ in range(math.ceil(self.patience_s / _POLL_S)):
            if not self._reaching.of(key, now).late:
                return
            self.wait(_POLL_S)
        reach = self._reaching.of(key, now)
        if reach.late:
            raise Unavailable(
                f"the warehouse has not got all that {key} has learnt, after {self.patience_s:g} s: it waits for "
                f"{'; '.join(reach.missing())}. While the job runs they are on their way: try again, or wait longer "
                f"with --wait. If it has ended without them they are lost: rebuild without them with "
                f"{' '.join(f'--ended {shard}' for shard in reach.late)}"
            )

    @contextmanager
    def _held(self, key: ModelKey, now: float) -> Iterator[None]:
        """What a stream learns meanwhile waits, and is learnt afterwards, whatever happens here."""

        def held(current: Published | Damaged) -> Snapshot:
            if isinstance(current, Damaged):
                raise Conflict(f"{key} was damaged while it was rebuilt: try again")
            snapshot = current.snapshot
            reason = snapshot.reason if snapshot.frozen else HELD
            return replace(snapshot, frozen=True, published_at=now, reason=reason, trusted_from=0.0)

        if not models.newest(self.store, key).snapshot.frozen:
            models.change(self.store, key, held)
        try:
            yield
        finally:
            left = models.look(self.store, key)
            if isinstance(left, Published) and left.snapshot.frozen and left.snapshot.reason == HELD:
                models.resume(self.store, key, now)

    def carry_over(
        self, old: ModelKey, model: ConfiguredModel, choice: Choice, now: float, on_rows: Progress = lambda *_: None
    ) -> Rebuilt:
        """Add what `old` learnt to a model of other features, which are made from the facts that were logged.

        Run again, it adds only what is new since. Raises: InvalidInput if both are one; Conflict; Corrupt.
        """
        if old == model.key:
            raise InvalidInput(f"{old} is the configured schema itself: rebuild it without a new schema")
        history = History(self.warehouse, old, choice, Encoder(model.spec))
        reach = self._reaching.to_add(old, now)
        through = reach.through
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
        return Rebuilt(published, found.rows, (*left_out, *reach.warnings(), *self._left(reach)))

    def _left(self, reach: Reach) -> Iterator[str]:
        """Batches of streams that are there and were left, in words."""
        for shard, extent in reach.extents.items():
            through = reach.through.get(shard, 0)
            if self._reaching.is_running(shard) and extent.last > through:
                yield (
                    f"batches of {shard} after {through} are left to the job that learns them; if it has ended, "
                    f"--ended {shard} takes them too"
                )

    @property
    def _reaching(self) -> Reaching:
        return Reaching(self.store, self.state, self.warehouse, self.shard, self.ended)

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


def _dropped(before: Published | Damaged) -> list[str]:
    """What the model held that is not among its own examples, in words."""
    if isinstance(before, Damaged):
        return ["the snapshot before could not be read: if it was frozen, the rebuilt one is not"]
    dropped = [name for name in before.snapshot.sequences if models.is_repair(name)]
    return [f"{name} was in the model and is not in the rebuilt one: add it again" for name in sorted(dropped)]
