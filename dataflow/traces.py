"""Spans of learning, in the traces of the slates that it learns from."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from omakase.core.ids import text_of
from omakase.core.sessions import Example
from omakase.ports.model_store import Generation, ModelKey
from omakase.serving import tracing

_MOST = 10_000


@dataclass(frozen=True, slots=True)
class _Learnt:
    """An example that is in a batch, and not in a model yet."""

    trace: str
    sequence: int
    at_ns: int
    told: Mapping[str, tracing.Attribute]


@dataclass(slots=True)
class Traces:
    """Remembers which traced examples wait for their model, in memory: what waits when the process ends gets no span
    of its publication. Of each model the newest 10,000. Cost: nothing where nothing is traced.
    """

    shard: str
    _waiting: dict[ModelKey, deque[_Learnt]] = field(default_factory=dict, init=False)

    def learnt(self, examples: Iterable[Example], sequences: Mapping[ModelKey, int], began_ns: int) -> None:
        """These were committed, each to its model's batch of that number."""
        if not tracing.is_on():
            return
        now = time.time_ns()
        for example in examples:
            trace, key = example.delivery.trace, ModelKey(example.delivery.model)
            if not trace:
                continue
            named: dict[str, tracing.Attribute] = {
                "request_id": text_of(example.request_id),
                "position": example.position,
                "model": key,
            }
            told = {**named, "shard": self.shard, "sequence": sequences[key]}
            tracing.past("learn", trace, began_ns, now, {**told, "is_correction": example.before is not None})
            self._waiting.setdefault(key, deque(maxlen=_MOST)).append(_Learnt(trace, sequences[key], now, told))

    def published(self, key: ModelKey, through: int, generation: Generation) -> None:
        """This generation holds the model's batches up to that number."""
        waiting = self._waiting.get(key)
        while waiting and waiting[0].sequence <= through:
            one = waiting.popleft()
            tracing.past("publish", one.trace, one.at_ns, time.time_ns(), {**one.told, "generation": generation})
