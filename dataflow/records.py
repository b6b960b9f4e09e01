"""What a stream leaves behind: packed while it waits, and as rows of the warehouse's tables."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from dataflow.examples import NumberedExamples
from dataflow.sequences import Publication
from omakase.core.accounting import Tally
from omakase.core.tables import hour_of
from omakase.ports.warehouse import Row, Table
from omakase.rows import rows_of

log = logging.getLogger(__name__)

TableRows: TypeAlias = Mapping[Table, Sequence[Row]]

_pack = msgspec.msgpack.encode
_tally_of = msgspec.msgpack.Decoder(list[tuple[str, str, int]]).decode
_examples_of = msgspec.msgpack.Decoder(NumberedExamples).decode
_publication_of = msgspec.msgpack.Decoder(Publication).decode


def pack_tally(tally: Tally) -> bytes:
    return _pack([(side, state, count) for (side, state), count in tally.items()])


def pack_record(record: NumberedExamples | Publication) -> bytes:
    return _pack(record)


def message_rows(bodies: Sequence[bytes], at: float) -> TableRows:
    """Of bus messages. What cannot be read is a dead letter of the fold, unless nothing is learnt from it."""
    tables, unreadable = rows_of(bodies)
    for _, fault in unreadable:
        log.error("a message is not in the warehouse: %s", fault)
    return tables


def example_rows(packed: Sequence[bytes], at: float) -> TableRows:
    return {"examples": [row for each in packed for row in _examples_of(each).rows()]}


def tally_rows(packed: Sequence[bytes], at: float) -> TableRows:
    """Added up: of a part, each state of a side has one row."""
    total: Counter[tuple[str, str]] = Counter()
    for each in packed:
        for side, state, count in _tally_of(each):
            total[side, state] += count
    counted = [(side, state, count) for (side, state), count in sorted(total.items()) if count]
    return {
        "tallies": [
            {"hour": hour_of(at), "side": side, "state": state, "count": count} for side, state, count in counted
        ]
    }


def publication_rows(packed: Sequence[bytes], at: float) -> TableRows:
    publications = map(_publication_of, packed)
    return {
        "publications": [
            {
                "hour": hour_of(one.published_at),
                "model": one.key,
                "generation": one.generation,
                "through": one.through,
                "published_at": one.published_at,
                "clicks": len(one.clicks),
            }
            for one in publications
        ]
    }
