"""Training examples as the warehouse keeps them, so that a model can be rebuilt from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from omakase.core.ids import text_of
from omakase.core.sessions import Example
from omakase.ports.warehouse import Cell, Row
from omakase.wire import encode_factor


def example_row(shard: str, sequence: int, example: Example) -> Row:
    """One example, correction (`click_before` is there) or retraction (`click` is null).

    `sequence` is the model's batch that holds it, as `shard` counts them: a model rebuilt from these rows knows by it
    which batches it has.
    """
    delivery, after, before = example.delivery, example.outcomes, example.before
    return {
        "hour": int(example.at // 3600 * 3600),
        "shard": shard,
        "sequence": sequence,
        "request_id": text_of(example.request_id),
        "position": example.position,
        "model": delivery.model,
        "context_factor": encode_factor(delivery.context_factor),
        "item_factor": encode_factor(delivery.item_factor),
        "item_id": delivery.item_id,
        "served_at": example.at,
        "weight": example.weight,
        "click": None if after is None else after["click"],
        "reward": None if after is None else after["reward"],
        "click_before": None if before is None else before["click"],
        "reward_before": None if before is None else before["reward"],
    }


def pack_examples(examples: Iterable[Example]) -> bytes:
    """Their rows, to be numbered."""
    return msgspec.msgpack.encode([example_row("", 0, example) for example in examples])


class NumberedExamples(NamedTuple):
    """The examples of one mini-batch under their number, still packed: one step numbers, many unpack."""

    shard: str
    sequence: int
    packed: bytes

    def rows(self) -> Iterator[Row]:
        unpacked: list[dict[str, Cell]] = msgspec.msgpack.decode(self.packed)
        return ({**row, "shard": self.shard, "sequence": self.sequence} for row in unpacked)
