"""History of a stream, through every step of the job between its topics, into a warehouse."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from apache_beam.testing import test_stream as streams
from apache_beam.transforms.window import TimestampedValue

from dataflow.history import File, Filing
from dataflow.job import dead_letter, dead_tally
from dataflow.records import message_rows, pack_tally, tally_rows
from omakase.adapters.local.warehouse import FileWarehouse
from omakase.core.accounting import DELIVERIES, EVENTS
from omakase.core.errors import Unavailable
from omakase.ports.warehouse import Row, Table
from omakase.wire import bus_body
from tests.unit.dataflow.stream import run_stream, stopped_clock
from tests.unit.dataflow.test_streaming import T, event, slate


@dataclass(frozen=True)
class OpenWarehouse:
    """Opens a warehouse that dies so many times: after a part is written, before its writer knows."""

    directory: Path
    deaths: int = 0

    def __call__(self) -> FileWarehouse:
        return _Dying(self.directory / "warehouse", self.directory / "died", self.deaths)


class _Dying(FileWarehouse):
    def __init__(self, directory: Path, note: Path, deaths: int) -> None:
        super().__init__(directory)
        self._note = note
        self._deaths = deaths

    def append(self, table: Table, part: str, rows: list[Row]) -> None:
        super().append(table, part, rows)
        died = len(self._note.read_text()) if self._note.exists() else 0
        if rows and died < self._deaths:
            self._note.write_text("x" * (died + 1))
            raise Unavailable("the warehouse went away")


class History:
    """Messages into a warehouse, a part when it is told."""

    def __init__(self, directory: Path, deaths: int = 0, **filing: float) -> None:
        self._directory = directory
        self._filing = Filing(OpenWarehouse(directory, deaths), clock=stopped_clock, **{"spread": 1} | filing)
        self._stream = streams.TestStream().advance_watermark_to(T)

    def send(self, *bodies: bytes, then_s: float = 0.0) -> History:
        self._stream.add_elements([TimestampedValue(body, T) for body in bodies])
        if then_s:
            self._stream.advance_processing_time(then_s)
        return self

    def rows(self, table: str) -> list[dict[str, object]]:
        self._stream.advance_watermark_to_infinity()
        run_stream(self._stream, lambda messages: messages | "history" >> File(self._filing, message_rows))
        return FileWarehouse(self._directory / "warehouse").query(f"SELECT * FROM {table}")


def bodies(n: int) -> list[bytes]:
    return [bus_body(event("click", 1, i)) for i in range(n)]


def test_every_message_is_kept_in_its_table(tmp_path: Path) -> None:
    history = History(tmp_path).send(bus_body(slate(1, 3)), *bodies(4), then_s=100.0)
    assert len(history.rows("events")) == 4
    assert len(FileWarehouse(tmp_path / "warehouse").query("SELECT * FROM deliveries")) == 3


def test_what_waits_when_the_stream_ends_is_kept(tmp_path: Path) -> None:
    assert len(History(tmp_path).send(*bodies(3)).rows("events")) == 3


def test_a_part_is_cut_by_size_and_by_time(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    some = bodies(6)
    parts.send(*some[:2], then_s=61.0).send(*some[2:], then_s=1.0)
    assert len(parts.rows("events")) == 6
    assert parts.sizes() == [2, 4]


class Parts(History):
    """A history whose parts can be counted."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, max_bytes=3 * len(bodies(1)[0]))

    def sizes(self) -> list[int]:
        listed = FileWarehouse(self._directory / "warehouse").query(
            "SELECT filename, count(*) AS n FROM read_parquet($1, filename = true) GROUP BY filename",
            [str(self._directory / "warehouse/events/**/*.parquet")],
        )
        return sorted(row["n"] for row in listed)


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_part_whose_writer_dies_is_written_once(tmp_path: Path, deaths: int) -> None:
    history = History(tmp_path, deaths).send(bus_body(slate(1, 3)), *bodies(4), then_s=100.0)
    events = Counter(row["receipt_id"] for row in history.rows("events"))
    shown = FileWarehouse(tmp_path / "warehouse").query("SELECT position FROM deliveries")
    assert sorted(row["position"] for row in shown) == [1, 2, 3]
    assert (len(events), set(events.values())) == (4, {1})
    assert len((tmp_path / "died").read_text()) == deaths


def test_tallies_are_added_up_before_they_are_kept() -> None:
    packed = [pack_tally(Counter({(EVENTS, "used"): n, (DELIVERIES, "learnt"): 1})) for n in (1, 2, 3)]
    packed.append(pack_tally(Counter({(DELIVERIES, "learnt"): -3})))
    assert tally_rows(packed, 7200.5) == {"tallies": [{"hour": 7200, "side": "events", "state": "used", "count": 6}]}


def test_a_dead_letter_is_the_message_with_its_reason_and_counts_what_it_stands_for() -> None:
    body = bus_body(slate(1, 3))
    letter = dead_letter((body, "undecodable", "x" * 5000))
    assert (letter.data, letter.attributes["reason"], len(letter.attributes["detail"])) == (body, "undecodable", 1000)
    assert len(dead_letter((body, "undecodable", "x" + "é" * 5000)).attributes["detail"].encode()) == 999
    assert dead_letter((body, "features", "")).attributes["key"] == letter.attributes["key"]
    assert dead_tally((body, "undecodable", "")) == {(DELIVERIES, "served"): 3, (DELIVERIES, "rejected"): 3}
    for other in (bodies(1)[0], b"\xff\xff"):
        assert dead_tally((other, "undecodable", "")) == {(EVENTS, "received"): 1, (EVENTS, "rejected"): 1}
