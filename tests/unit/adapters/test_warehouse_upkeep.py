"""What the contract does not see of upkeep: which files it leaves, what an append looks at, old files, full disks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from omakase.adapters.local import parts
from omakase.adapters.local import warehouse as local
from omakase.adapters.local.series import order_of, series_of
from omakase.adapters.local.warehouse import FileWarehouse
from omakase.core.errors import Unavailable

HOUR = 3600 * 450_000


@pytest.fixture
def warehouse(tmp_path: Path) -> FileWarehouse:
    return FileWarehouse(tmp_path)


def fill(warehouse, numbers, hours=(HOUR,), **cells):
    for n in numbers:
        warehouse.append("events", f"log-{n}", [{"hour": hour, "position": n} | cells for hour in hours])


def names(directory: Path) -> list[str]:
    return sorted(path.name.partition(".")[0] for path in directory.glob("events/hour=*/[!.]*"))


def positions(warehouse):
    return [row["position"] for row in warehouse.query("SELECT position FROM events ORDER BY position")]


@pytest.mark.parametrize(
    ("part", "series"),
    [("log-7", "log-#"), ("log-0007", "log-#"), ("a-1-2", "a-1-#"), ("log", "log"), ("log-", "log-"), ("a-b", "a-b")],
)
def test_a_series_is_named_by_what_stands_before_the_number(part, series):
    assert series_of(part) == series


def test_parts_of_a_series_are_ordered_as_numbers_not_as_text():
    assert sorted(["log-10", "log-9", "log-0011"], key=order_of) == ["log-9", "log-10", "log-0011"]


def test_an_hour_is_left_with_one_merged_file_and_the_newest_part_of_each_series(warehouse, tmp_path):
    fill(warehouse, range(20), (HOUR, HOUR + 3600))
    warehouse.append("events", "alone", [{"hour": HOUR}])
    assert warehouse.compact("events") == 2 * 18
    assert names(tmp_path) == ["+", "+", "alone", "log-19", "log-19"]
    assert list((tmp_path / "events" / ".gone").iterdir()) == []


def test_a_file_large_enough_is_not_merged_again(warehouse, tmp_path, monkeypatch):
    fill(warehouse, range(4))
    size = max(path.stat().st_size for path in tmp_path.rglob("*.parquet"))
    monkeypatch.setattr(parts, "MAX_MERGED_BYTES", 2 * size)
    assert warehouse.compact("events") == 0
    monkeypatch.setattr(parts, "MAX_MERGED_BYTES", 2 * size + 2)
    assert warehouse.compact("events") == 1
    assert names(tmp_path) == ["+", "log-2", "log-3"]


def test_many_files_are_merged_in_several_swaps(warehouse, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "MAX_MERGED_FILES", 3)
    fill(warehouse, range(9))
    assert warehouse.compact("events") == 7
    assert names(tmp_path) == ["+", "log-8"]
    assert positions(warehouse) == list(range(9))


def test_the_next_part_of_a_series_is_shown_without_a_look_at_any_hour(warehouse, monkeypatch):
    fill(warehouse, range(1))
    with monkeypatch.context() as patch:
        for name in ("listdir", "scandir"):
            patch.setattr(parts.os, name, lambda *_: pytest.fail("an hour was listed"))
        fill(warehouse, range(1, 3))
    assert positions(warehouse) == [0, 1, 2]


def test_an_index_that_is_lost_is_found_again_in_the_files(warehouse, tmp_path):
    fill(warehouse, range(3), (HOUR, HOUR + 3600))
    (tmp_path / "events" / ".newest" / "log-#").unlink()
    assert warehouse.compact("events") == 2
    fill(warehouse, [2], (HOUR + 3600,))
    assert positions(warehouse) == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("older", [0, 2])
def test_files_that_lack_a_column_are_asked_and_merged_with_those_that_have_it(warehouse, tmp_path, older):
    fill(warehouse, range(4), type="click")
    (path,) = tmp_path.rglob(f"log-{older}.*.parquet")
    full = path.rename(path.with_suffix(".full"))
    without = f"SELECT * EXCLUDE (type) FROM read_parquet('{full}')"
    duckdb.execute(f"COPY ({without}) TO '{path}' (FORMAT parquet)")
    expected = [(n, None if n == older else "click") for n in range(4)]
    for _ in range(2):
        found = warehouse.query("SELECT position, type FROM events ORDER BY position")
        assert [(row["position"], row["type"]) for row in found] == expected
        warehouse.compact("events")


def test_a_part_that_is_written_again_while_it_is_made_to_forget_is_neither_lost_nor_doubled(warehouse, monkeypatch):
    fill(warehouse, range(3), unit="anna")
    blank, files = local.blank_people, []

    def blank_late(engine, table, file, *more):
        blank(engine, table, file, *more)
        if "log-2" in file and not files:
            files.append(file)
            fill(warehouse, [2], (HOUR, HOUR + 3600), unit="anna")

    monkeypatch.setattr(local, "blank_people", blank_late)
    assert warehouse.forget(["anna"]) == 4
    assert positions(warehouse) == [0, 1, 2, 2]
    assert warehouse.query("SELECT count(unit) AS n FROM events") == [{"n": 0}]


def test_what_a_killed_writer_left_is_removed_after_an_hour(warehouse, tmp_path):
    fill(warehouse, range(1))
    home = tmp_path / "events" / f"hour={HOUR}"
    old, new = home / ".old.parquet.1-1.tmp", home / ".new.parquet.1-1.tmp"
    for path in (old, new):
        path.write_bytes(b"half a file")
    os.utime(old, (0, 0))
    warehouse.compact("events")
    assert (old.exists(), new.exists()) == (False, True)


def test_what_a_killed_upkeep_had_taken_away_is_deleted_by_the_next(warehouse, tmp_path):
    fill(warehouse, range(1))
    gone = tmp_path / "events" / ".gone"
    (gone / "hour=0.ab").mkdir(parents=True)
    for path in (gone / "log-0.ab.parquet.tmp", gone / "hour=0.ab" / "log-0.ab.parquet"):
        path.write_bytes(b"anna")
    warehouse.compact("events")
    assert list(gone.iterdir()) == []


def test_a_merged_file_that_is_never_shown_is_removed(warehouse, tmp_path, monkeypatch):
    fill(warehouse, range(4))
    monkeypatch.setattr(parts.Parts, "replace", lambda *_: (_ for _ in ()).throw(OSError("no room")))
    with pytest.raises(Unavailable, match="cannot compact events: no room"):
        warehouse.compact("events")
    assert list(tmp_path.rglob("*.tmp")) == []


def test_a_file_that_cannot_be_read_is_said_and_nothing_is_merged_without_it(warehouse, tmp_path):
    fill(warehouse, range(4))
    (rotten,) = tmp_path.rglob("log-1.*.parquet")
    rotten.write_bytes(b"no parquet")
    with pytest.raises(Unavailable, match="cannot compact events"):
        warehouse.compact("events")
    assert names(tmp_path) == ["log-0", "log-1", "log-2", "log-3"]
    assert list(tmp_path.rglob("*.tmp")) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Two megabytes that can be filled."""
    home = tmp_path / "disk"
    home.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", home], capture_output=True, text=True
        )
    except FileNotFoundError:
        pytest.skip("a small disk needs Linux and its mount command")
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip() or 'needs root'}")
    yield home
    subprocess.run(["umount", "--lazy", home], check=True)


def fill_up(home: Path, leaving: int) -> Path:
    """A file that leaves so many bytes."""
    ballast = home / "ballast"
    free = os.statvfs(home)
    ballast.write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - leaving)))
    return ballast


@pytest.mark.parametrize("leaving", [0, 4096, 8192, 12_288, 16_384])
def test_a_full_disk_loses_nothing_and_the_next_run_succeeds(small_disk, leaving):
    warehouse = FileWarehouse(small_disk)
    fill(warehouse, range(40), (HOUR, HOUR + 3600), unit="anna")
    ballast = fill_up(small_disk, leaving)
    for attempt in (
        lambda: fill(warehouse, [39], (HOUR, HOUR + 3600, HOUR + 7200), type="x" * 40_000),
        lambda: fill(warehouse, [40], type=os.urandom(20_000).hex()),
        lambda: warehouse.compact("events"),
        lambda: warehouse.forget(["anna"]),
    ):
        with suppress(Unavailable) if leaving else pytest.raises(Unavailable, match="events"):
            attempt()
        assert set(positions(warehouse)) - {40} == set(range(40))
    ballast.unlink()
    fill(warehouse, [40], (HOUR, HOUR + 3600))
    warehouse.compact("events")
    warehouse.forget(["anna"])
    found = warehouse.query("SELECT position, count(*) AS n FROM events WHERE position <> 39 GROUP BY 1 ORDER BY 1")
    assert [(row["position"], row["n"]) for row in found] == [(n, 2) for n in range(41) if n != 39]
    assert list(small_disk.rglob("*.tmp")) == []
    assert warehouse.query("SELECT count(unit) AS n FROM events") == [{"n": 0}]
