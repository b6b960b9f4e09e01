"""History of a stream: what comes along goes into the warehouse in parts, each exactly once.

Beam's own BigQuery sinks are not used. The one over the Storage Write API is written in Java, and a job that is built
offline has no expansion service for it. Streaming inserts are told from their repetition for a minute at best. Load
jobs would do, but nothing here could show it. A part of the port has the promise that is wanted, and a suite that
shows it: written again, it replaces itself. So a part is named, settled by a shuffle, and only then written: whoever
writes it again has the same rows under the same name. Tests do so with DuckDB, production with BigQuery.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import apache_beam as beam
from apache_beam.coders import BytesCoder, VarIntCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    AccumulatingRuntimeState,
    BagStateSpec,
    ReadModifyWriteRuntimeState,
    ReadModifyWriteStateSpec,
    RuntimeTimer,
    TimerSpec,
    on_timer,
)

from omakase.ports.warehouse import Row, Table, Warehouse

# Packed records and the time, to rows by table. Pickled by reference and called on the workers.
RowsOf: TypeAlias = Callable[[Sequence[bytes], float], Mapping[Table, Sequence[Row]]]

# (part, (when it was named, packed records)).
Part: TypeAlias = tuple[str, tuple[float, list[bytes]]]


@dataclass(frozen=True, slots=True)
class Filing:
    """A part is written when it has `max_bytes` or is `max_s` old; `spread` of a kind grow side by side.

    So history is up to `max_s` behind. Dataflow takes no element of 80 MB, which bounds `max_bytes`.
    `open_warehouse` and `clock` are pickled and called on the workers.
    """

    open_warehouse: Callable[[], Warehouse]
    max_bytes: int = 32_000_000
    max_s: float = 60.0
    spread: int = 1
    clock: Callable[[], float] = time.time


class File(beam.PTransform):  # type: ignore[misc]
    """Packed records into the warehouse, as `rows_of` makes rows of them."""

    def __init__(self, filing: Filing, rows_of: RowsOf) -> None:
        super().__init__()
        self._filing = filing
        self._rows_of = rows_of

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        filing = self._filing
        return (
            records
            | "spread" >> beam.ParDo(AnyOf(filing.spread)).with_output_types(tuple[int, bytes])
            | "gather" >> beam.ParDo(Gather(filing)).with_output_types(Part)
            | "settle" >> beam.Reshuffle()
            | "write" >> beam.ParDo(WritePart(filing.open_warehouse, self._rows_of))
        )


class AnyOf(beam.DoFn):  # type: ignore[misc]
    """Record to (any of so many keys, record): which, makes no difference to anything but load."""

    def __init__(self, keys: int) -> None:
        self._keys = keys

    def process(self, record: bytes) -> Iterator[tuple[int, bytes]]:
        yield random.randrange(self._keys), record  # noqa: S311


class Gather(beam.DoFn):  # type: ignore[misc]
    """(key, record) to `Part`. By bytes, which Beam's own batches in Python cannot be cut by."""

    WAITING = BagStateSpec("waiting", BytesCoder())
    SIZE = ReadModifyWriteStateSpec("size", VarIntCoder())
    AGE = TimerSpec("age", TimeDomain.REAL_TIME)
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def __init__(self, filing: Filing) -> None:
        self._filing = filing

    def process(
        self,
        element: tuple[int, bytes],
        window: beam.transforms.window.BoundedWindow = beam.DoFn.WindowParam,
        waiting: AccumulatingRuntimeState = beam.DoFn.StateParam(WAITING),
        size: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(SIZE),
        age: RuntimeTimer = beam.DoFn.TimerParam(AGE),
        end: RuntimeTimer = beam.DoFn.TimerParam(END),
    ) -> Iterator[Part]:
        _, record = element
        before = size.read() or 0
        if not before:
            age.set(self._filing.clock() + self._filing.max_s)
            end.set(window.end)
        waiting.add(record)
        size.write(before + len(record) + 1)
        if before + len(record) >= self._filing.max_bytes:
            age.clear()
            yield from self._part(waiting, size)

    @on_timer(AGE)  # type: ignore[untyped-decorator]
    def grow_old(
        self,
        waiting: AccumulatingRuntimeState = beam.DoFn.StateParam(WAITING),
        size: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(SIZE),
    ) -> Iterator[Part]:
        yield from self._part(waiting, size)

    @on_timer(END)  # type: ignore[untyped-decorator]
    def drain(
        self,
        waiting: AccumulatingRuntimeState = beam.DoFn.StateParam(WAITING),
        size: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(SIZE),
        age: RuntimeTimer = beam.DoFn.TimerParam(AGE),
    ) -> Iterator[Part]:
        age.clear()
        yield from self._part(waiting, size)

    def _part(self, waiting: AccumulatingRuntimeState, size: ReadModifyWriteRuntimeState) -> Iterator[Part]:
        records = list(waiting.read())
        waiting.clear()
        size.clear()
        if records:
            yield f"stream.{uuid.uuid4().hex}", (self._filing.clock(), records)


class WritePart(beam.DoFn):  # type: ignore[misc]
    """`Part` to a part of that name in each of its tables. What raises is repeated by the runner."""

    def __init__(self, open_warehouse: Callable[[], Warehouse], rows_of: RowsOf) -> None:
        self._open_warehouse = open_warehouse
        self._rows_of = rows_of
        self._warehouse: Warehouse | None = None

    def setup(self) -> None:
        self._warehouse = self._open_warehouse()

    def process(self, part: Part) -> None:
        name, (at, records) = part
        assert self._warehouse is not None
        for table, rows in self._rows_of(records, at).items():
            if rows:
                self._warehouse.append(table, name, rows)
