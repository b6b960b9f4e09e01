"""History of a stream: what comes along goes into the warehouse in parts, each exactly once.

Beam's own BigQuery sinks are not used. The one over the Storage Write API is written in Java, and a job that is built
offline has no expansion service for it. Streaming inserts are told from their repetition for a minute at best. Load
jobs would do, but nothing here could show it. A part of the port has the promise that is wanted, and a suite that
shows it: written again, it replaces itself. So a part has its name before it has its rows, and both are the state of
one step: a step that dies between writing and its commit writes the same part again, with what has come since.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import apache_beam as beam
from apache_beam.coders import BytesCoder, StrUtf8Coder, VarIntCoder
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


@dataclass(frozen=True, slots=True)
class Filing:
    """A part is written when it has `max_bytes` or is `max_s` old; `spread` of a kind grow side by side.

    So history is up to `max_s` behind, and longer where it is slow to write. `open_warehouse` and `clock` are pickled
    and called on the workers.
    """

    open_warehouse: Callable[[], Warehouse]
    max_bytes: int = 32_000_000
    max_s: float = 60.0
    spread: int = 4
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
            | "parts" >> beam.ParDo(WriteParts(filing, self._rows_of))
        )


class AnyOf(beam.DoFn):  # type: ignore[misc]
    """Record to (any of so many keys, record): which, makes no difference to anything but load."""

    def __init__(self, keys: int) -> None:
        self._keys = keys

    def process(self, record: bytes) -> Iterator[tuple[int, bytes]]:
        yield random.randrange(self._keys), record  # noqa: S311


class WriteParts(beam.DoFn):  # type: ignore[misc]
    """(key, record) into parts of the warehouse. Gives nothing; what raises is repeated by the runner."""

    NAME = ReadModifyWriteStateSpec("name", StrUtf8Coder())
    WAITING = BagStateSpec("waiting", BytesCoder())
    SIZE = ReadModifyWriteStateSpec("size", VarIntCoder())
    AGE = TimerSpec("age", TimeDomain.REAL_TIME)
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def __init__(self, filing: Filing, rows_of: RowsOf) -> None:
        self._filing = filing
        self._rows_of = rows_of
        self._warehouse: Warehouse | None = None

    def setup(self) -> None:
        self._warehouse = self._filing.open_warehouse()

    def process(
        self,
        element: tuple[int, bytes],
        window: beam.transforms.window.BoundedWindow = beam.DoFn.WindowParam,
        name: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(NAME),
        waiting: AccumulatingRuntimeState = beam.DoFn.StateParam(WAITING),
        size: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(SIZE),
        age: RuntimeTimer = beam.DoFn.TimerParam(AGE),
        end: RuntimeTimer = beam.DoFn.TimerParam(END),
    ) -> None:
        _, record = element
        if name.read() is None:
            name.write(f"stream_{uuid.uuid4().hex}")
            age.set(self._filing.clock() + self._filing.max_s)
        end.set(window.end)
        waiting.add(record)
        bytes_waiting = (size.read() or 0) + len(record)
        size.write(bytes_waiting)
        if bytes_waiting >= self._filing.max_bytes:
            age.set(self._filing.clock())  # not here: the name may not be committed yet

    @on_timer(AGE)  # type: ignore[untyped-decorator]
    def grow_old(
        self,
        name: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(NAME),
        waiting: AccumulatingRuntimeState = beam.DoFn.StateParam(WAITING),
        size: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(SIZE),
    ) -> None:
        self._write(name, waiting, size)

    @on_timer(END)  # type: ignore[untyped-decorator]
    def drain(
        self,
        name: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(NAME),
        waiting: AccumulatingRuntimeState = beam.DoFn.StateParam(WAITING),
        size: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(SIZE),
        age: RuntimeTimer = beam.DoFn.TimerParam(AGE),
    ) -> None:
        age.clear()
        self._write(name, waiting, size)

    def _write(
        self,
        name: ReadModifyWriteRuntimeState,
        waiting: AccumulatingRuntimeState,
        size: ReadModifyWriteRuntimeState,
    ) -> None:
        part = name.read()
        if part is None:
            return
        assert self._warehouse is not None
        for table, rows in self._rows_of(list(waiting.read()), self._filing.clock()).items():
            self._warehouse.append(table, part, rows)
        for state in (name, waiting, size):
            state.clear()
