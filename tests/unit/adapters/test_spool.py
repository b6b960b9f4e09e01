"""Segments: torn, damaged, rotated, and on a full disk."""

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from omakase.adapters.local.spool import HEADER, MAX_RECORD_BYTES, Spool
from omakase.adapters.local.spool_reader import SpoolReader
from omakase.core.errors import InvalidInput, Unavailable

# The kernel takes part of a write and then refuses the rest, as a full disk does.
FILL_THE_DISK = """
import resource, sys
from pathlib import Path
from omakase.adapters.local.spool import Spool
from omakase.core.errors import Unavailable
spool = Spool(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
refused = 0
for n in range(10):
    try:
        spool.append(b"%d" % n * 300)
    except Unavailable:
        refused += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
for n in range(10):
    try:
        spool.append(b"never" * 300)
    except Unavailable:
        refused += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.append(b"after")
print(refused)
"""


def segments(directory):
    return sorted(path.name for path in directory.glob("*.spool"))


def write(directory, *records):
    """One finished segment."""
    spool = Spool(directory)
    for record in records:
        spool.append(record)
    spool.close()
    return directory / segments(directory)[-1]


def drain(reader, limit=100):
    shipped = []
    while records := reader.read(limit):
        shipped += records
        reader.commit()
    return shipped


@pytest.fixture
def reader(tmp_path):
    reader = SpoolReader(tmp_path)
    yield reader
    reader.close()


def test_a_new_writer_starts_a_new_segment(tmp_path):
    first, second = Spool(tmp_path), Spool(tmp_path)
    first.append(b"1")
    second.append(b"2")
    first.append(b"3")
    assert len(segments(tmp_path)) == 2


def test_a_segment_is_rotated_by_size(tmp_path, reader):
    spool = Spool(tmp_path, segment_bytes=1000)
    records = [b"%03d" % n + b"x" * 97 for n in range(25)]
    for record in records:
        spool.append(record)
    assert len(segments(tmp_path)) == 3
    assert all((tmp_path / name).stat().st_size <= 1000 for name in segments(tmp_path))
    assert drain(reader, limit=7) == records


def test_a_record_larger_than_a_segment_gets_one_of_its_own(tmp_path, reader):
    spool = Spool(tmp_path, segment_bytes=100)
    records = [b"a", b"b" * 500, b"c"]
    for record in records:
        spool.append(record)
    assert drain(reader) == records


def test_threads_that_rotate_under_each_other_lose_nothing(tmp_path, reader):
    spool = Spool(tmp_path, segment_bytes=50)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(spool.append, (b"%05d" % n for n in range(2000))))
    assert sorted(drain(reader)) == [b"%05d" % n for n in range(2000)]
    # Three records of 13 bytes fit.
    assert all((tmp_path / name).stat().st_size <= 50 for name in segments(tmp_path))


def test_two_growing_segments_keep_their_places_apart(tmp_path, reader):
    first, second = Spool(tmp_path), Spool(tmp_path)
    for turn in range(3):
        first.append(b"a%d" % turn)
        assert drain(reader) == [b"a%d" % turn]
        second.append(b"b%d" % turn)
        assert drain(reader) == [b"b%d" % turn]
    reader.close()
    assert SpoolReader(tmp_path).read(10) == []


def test_refuses_a_record_that_no_reader_would_take(tmp_path):
    with pytest.raises(InvalidInput, match="at most"):
        Spool(tmp_path).append(bytes(MAX_RECORD_BYTES + 1))


def test_shipped_segments_are_removed_but_not_the_one_that_grows(tmp_path, reader):
    write(tmp_path, b"1", b"2")
    spool = Spool(tmp_path)
    spool.append(b"3")
    growing = segments(tmp_path)[-1]
    assert drain(reader) == [b"1", b"2", b"3"]
    assert segments(tmp_path) == [growing]
    spool.append(b"4")
    assert drain(reader) == [b"4"]
    spool.close()
    assert reader.read(10) == []
    assert segments(tmp_path) == []


@pytest.mark.parametrize("cut", [1, 4, 7, 8, 9, 12])
def test_a_torn_tail_is_set_aside_and_loudly_counted(tmp_path, reader, caplog, cut):
    torn = write(tmp_path, b"whole 1", b"whole 2", b"torn!")
    size = torn.stat().st_size
    with torn.open("r+b") as file:
        file.truncate(size - HEADER.size - len(b"torn!") + cut)
    write(tmp_path, b"after")
    with caplog.at_level(logging.ERROR):
        assert drain(reader) == [b"whole 1", b"whole 2", b"after"]
    assert reader.damaged_segments == 1
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert f"{cut} bytes not shipped" in caplog.text
    assert torn.with_name(torn.name + ".damaged").exists()
    assert segments(tmp_path) == []


@pytest.mark.parametrize("position", [0, 3, 5, 8, 10])
def test_a_flipped_byte_costs_the_rest_of_its_segment_and_no_other(tmp_path, reader, position):
    damaged = write(tmp_path, b"first", b"second", b"third")
    content = bytearray(damaged.read_bytes())
    content[HEADER.size + len(b"first") + position] ^= 0x55
    damaged.write_bytes(content)
    write(tmp_path, b"after")
    assert drain(reader, limit=2) == [b"first", b"after"]
    assert reader.damaged_segments == 1
    assert (tmp_path / f"{damaged.name}.damaged").read_bytes() == content


def test_zeros_are_no_records(tmp_path, reader):
    write(tmp_path, b"first").write_bytes(bytes(4096))
    assert drain(reader) == []
    assert reader.damaged_segments == 1


def test_damage_is_set_aside_only_when_what_precedes_it_was_committed(tmp_path, reader):
    damaged = write(tmp_path, b"first", b"second")
    with damaged.open("r+b") as file:
        file.truncate(damaged.stat().st_size - 1)
    assert reader.read(10) == [b"first"]
    assert damaged.exists()
    reader.commit()
    assert not damaged.exists()


def test_half_a_record_at_the_end_of_a_growing_segment_is_waited_for(tmp_path, reader):
    spool = Spool(tmp_path)
    spool.append(b"first")
    growing = tmp_path / segments(tmp_path)[0]
    whole = growing.read_bytes()
    with growing.open("ab") as file:
        file.write(whole[:10])
        file.flush()
        assert drain(reader) == [b"first"]
        assert reader.damaged_segments == 0
        file.write(whole[10:])
    assert drain(reader) == [b"first"]


def test_a_refused_record_spoils_no_other(tmp_path, reader):
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    refused = int(done.stdout)
    shipped = drain(reader)
    assert 0 < refused - 10 < 10
    assert len(shipped) == 10 - (refused - 10) + 1
    assert shipped[-1] == b"after"
    assert all(record == record[:1] * 300 for record in shipped[:-1])
    assert reader.damaged_segments == 0


def test_is_unavailable_when_its_directory_is_gone(tmp_path):
    spool = Spool(tmp_path / "spool")
    (tmp_path / "spool").rmdir()
    with pytest.raises(Unavailable, match="append"):
        spool.append(b"record")
    (tmp_path / "spool").mkdir()
    spool.append(b"record")
    reader = SpoolReader(tmp_path / "spool")
    assert drain(reader) == [b"record"]
    reader.close()


def test_refuses_a_second_reader_until_the_first_is_gone(tmp_path, reader):
    write(tmp_path, b"record")
    assert reader.read(1) == [b"record"]
    second = SpoolReader(tmp_path)
    with pytest.raises(Unavailable, match="another process"):
        second.read(1)
    reader.close()
    assert second.read(1) == [b"record"]
    second.close()


def test_dying_between_cursor_and_removal_ships_nothing_twice(tmp_path, reader):
    shipped = write(tmp_path, b"1", b"2")
    content = shipped.read_bytes()
    write(tmp_path, b"3", b"4")
    assert reader.read(3) == [b"1", b"2", b"3"]
    reader.commit()
    reader.close()
    # As if the process had died before it could remove what the cursor calls finished.
    shipped.write_bytes(content)
    assert drain(reader) == [b"4"]
    assert segments(tmp_path) == []


def test_ships_everything_again_when_the_cursor_cannot_be_read(tmp_path, reader, caplog):
    write(tmp_path, b"1", b"2")
    reader.read(1)
    reader.commit()
    reader.close()
    (tmp_path / "cursor.json").write_bytes(b"")
    assert drain(reader) == [b"1", b"2"]
    assert "shipped again" in caplog.text
