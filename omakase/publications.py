"""Which published snapshot of a model was the first to hold something."""

from __future__ import annotations

from dataclasses import dataclass

from omakase.core.errors import Corrupt, NotFound
from omakase.ports.model_store import ABSENT, Generation, ModelKey, ModelStore
from omakase.snapshots import Snapshot, decode_snapshot

_ROLLBACK = "rollback to "


@dataclass(frozen=True, slots=True)
class Publication:
    """The first kept generation that holds a batch. Units: published_at in Unix seconds.

    `is_first`: the one before it is known to lack the batch; else that may have been `after` or any in between, for old
    generations are thinned. `undone_by` is the generation that rolled back past it; ABSENT if none did.
    """

    generation: Generation
    published_at: float
    is_first: bool
    after: Generation
    undone_by: Generation = ABSENT


def publication(store: ModelStore, key: ModelKey, shard: str, sequence: int) -> Publication | None:
    """Where the shard's batch of that number went; None if no generation that is kept holds it, or not yet.

    Raises: Unavailable. Cost: reads every snapshot that was published since, as far as it is kept.
    """
    holding: list[tuple[Generation, Snapshot]] = []
    after = ABSENT
    for generation in store.history(key):
        try:
            snapshot = decode_snapshot(store.read(key, generation))
        except (Corrupt, NotFound):  # damaged, or thinned meanwhile
            continue
        if snapshot.sequences.get(shard, 0) < sequence:
            after = generation
            break
        holding.append((generation, snapshot))
    if not holding:
        return None
    generation, snapshot = holding[-1]
    undone_by = (g for g, s in reversed(holding) if 0 <= _target(s) < generation)
    # A rollback has today's sequences and old sums: it follows one that held the batch and is kept no longer.
    is_first = generation == after + 1 and _target(snapshot) < 0
    return Publication(generation, snapshot.published_at, is_first, after, next(undone_by, ABSENT))


def _target(snapshot: Snapshot) -> int:
    """The generation that it rolls back to; -1 if it is no rollback."""
    target = snapshot.reason.removeprefix(_ROLLBACK)
    return int(target) if target != snapshot.reason and target.isdecimal() else -1
