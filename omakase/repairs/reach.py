"""Up to which batch of each shard a model is made anew."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from omakase import models
from omakase.models import Published
from omakase.ports.model_store import ModelKey, ModelStore
from omakase.ports.training_state import TrainingState
from omakase.ports.warehouse import Warehouse
from omakase.repairs.extents import Extent, extents


@dataclass(frozen=True, slots=True)
class Reach:
    """`late` are the streams of which not all is there yet, each with the last batch that is wanted. `learnt` is what
    the model said that it holds.
    """

    through: Mapping[str, int]
    extents: Mapping[str, Extent]
    late: Mapping[str, int] = field(default_factory=dict)
    learnt: Mapping[str, int] = field(default_factory=dict)

    def missing(self) -> Iterator[str]:
        """What is late, in words."""
        for shard, last in self.late.items():
            extent = self.extents.get(shard)
            first = self.through[shard] + 1
            there = f" (of {extent.last} so far)" if extent else ""
            yield f"batch {first} of {shard}{there}, of which the model holds {last}"

    def warnings(self) -> Iterator[str]:
        """Batches of which there are no examples, and those that are left to others, in words."""
        for shard, last in self.through.items():
            extent = self.extents.get(shard, Extent(shard, 0))
            first = extent.first if extent.last else last + 1
            if first > 1:
                yield (
                    f"the warehouse has no examples of batches 1 to {first - 1} of {shard} any more: what was learnt "
                    "from them is not in it"
                )
            gone = extent.missing(last) if extent.last else 0
            if gone:
                yield f"the warehouse has no examples of {gone} later batches of {shard}: they are not in it"


@dataclass(frozen=True, slots=True)
class Reaching:
    """Over the stores of one trainer, whose batches are those of `shard`.

    Shards of its name are its earlier memories; all others are streams. A job counts on in its own state, so a model
    made anew must hold of its stream what the published one holds, no less and no more; of the streams in `ended`
    everything that is there.
    """

    store: ModelStore
    state: TrainingState
    warehouse: Warehouse
    shard: str
    ended: Collection[str] = ()

    def is_running(self, shard: str) -> bool:
        """Whether a job may still count batches under this name."""
        is_own = shard.partition("-")[0] == self.shard.partition("-")[0]
        return not is_own and not models.is_repair(shard) and shard not in self.ended

    def of(self, key: ModelKey, now: float) -> Reach:
        """What a model in the place of this one has to hold. Without a readable one, all that is there without a gap.

        Raises: Unavailable.
        """
        current = models.look(self.store, key)
        there = extents(self.warehouse, key)
        through = {**self._committed(key, there), **self._whole(there, now)}
        late: dict[str, int] = {}
        learnt: Mapping[str, int] = {}
        if isinstance(current, Published):
            learnt = current.snapshot.sequences
            for shard in filter(self.is_running, {*there, *learnt}):
                wanted = learnt.get(shard, 0)
                if through.get(shard, 0) < wanted:
                    late[shard] = wanted
                through[shard] = min(wanted, through.get(shard, 0))
        return Reach({shard: n for shard, n in through.items() if n or shard in late}, there, late, learnt)

    def to_add(self, key: ModelKey, now: float) -> Reach:
        """What can be added to another model for good: of a stream, what nothing can come before any more."""
        there = extents(self.warehouse, key)
        through = {**self._committed(key, there), **self._whole(there, now)}
        return Reach({shard: n for shard, n in through.items() if n}, there)

    def _committed(self, key: ModelKey, there: Mapping[str, Extent]) -> dict[str, int]:
        """Up to which batch of each shard the examples are of committed ticks.

        Of a trainer whose memory was lost nobody knows what its last tick committed: of its batches the last counts
        only if a snapshot holds it. A stream's examples are all of committed batches.
        """
        kept = models.kept(self.store, key)
        learnt: Mapping[str, int] = kept.snapshot.sequences if kept else {}
        through = {shard: max(one.last - 1, min(one.last, learnt.get(shard, 0))) for shard, one in there.items()}
        for shard in self.ended:
            through[shard] = max(there[shard].last if shard in there else 0, learnt.get(shard, 0))
        return {**through, self.shard: self.state.progress().sequences.get(key, 0)}

    def _whole(self, there: Mapping[str, Extent], now: float) -> dict[str, int]:
        return {shard: one.whole(now) for shard, one in there.items() if self.is_running(shard)}
