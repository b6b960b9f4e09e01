"""Publishing a part of several files, and dying in the middle of it."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from omakase.adapters.local import parts
from omakase.adapters.local.parts import Parts


@pytest.fixture
def table(tmp_path):
    return Parts(tmp_path / "events")


def stage(table, hours, content):
    staged = {hour: table.staging(hour, "part") for hour in hours}
    for path in staged.values():
        path.write_bytes(content)
    return staged


def shown(table):
    contents = {}
    for name in table.files():
        hour, file = name.split("/")[-2:]
        assert re.fullmatch(r"part\.[0-9a-f]{16}\.parquet", file)
        contents[hour] = Path(name).read_bytes()
    return contents


def test_shows_nothing_that_is_only_staged(table):
    assert table.files() == []
    staged = stage(table, [0, 3600], b"one")
    assert table.files() == []
    table.publish("part", staged)
    assert shown(table) == {"hour=0": b"one", "hour=3600": b"one"}


def test_a_discarded_part_leaves_nothing(table, tmp_path):
    staged = stage(table, [0, 3600], b"one")
    table.discard(staged.values())
    assert table.files() == []
    assert list(tmp_path.rglob("*.tmp")) == []


def test_no_path_ever_holds_two_versions_of_a_part(table):
    paths = []
    for content in (b"one", b"two", b"one"):
        table.publish("part", stage(table, [0, 3600], content))
        paths += table.files()
    assert len(set(paths)) == 6


def test_pinned_files_stay_while_a_publisher_waits(table):
    table.publish("part", stage(table, [0, 3600], b"old"))
    staged = stage(table, [0, 3600], b"new")
    with ThreadPoolExecutor(1) as pool:
        with table.pinned() as files:
            publishing = pool.submit(table.publish, "part", staged)
            # A publisher that did not wait would be through long before.
            with pytest.raises(TimeoutError):
                publishing.result(timeout=0.2)
            assert [Path(name).read_bytes() for name in files] == [b"old", b"old"]
        publishing.result(timeout=10)
    assert shown(table) == {"hour=0": b"new", "hour=3600": b"new"}


OLD = {"hour=0": b"old", "hour=3600": b"old"}
NEW = {"hour=3600": b"new", "hour=7200": b"new"}


@pytest.mark.parametrize(
    ("operation", "call", "expected"),
    [
        # 1 is the index's rename, 2 the journal's: before that nothing was promised. 5 and 6 take the old files away.
        ("replace", 1, OLD),
        ("replace", 2, OLD),
        ("replace", 3, NEW),
        ("replace", 4, NEW),
        ("replace", 5, NEW),
        ("replace", 6, NEW),
        ("fsync", 1, OLD),
        ("fsync", 4, OLD),
        ("fsync", 5, OLD),
        ("fsync", 6, NEW),
        ("fsync", 7, NEW),
    ],
)
@pytest.mark.parametrize("successor", ["reader", "writer"])
def test_is_old_or_new_as_a_whole_after_dying_at_any_step(
    table, tmp_path, monkeypatch, operation, call, expected, successor
):
    table.publish("part", stage(table, [0, 3600], b"old"))
    staged = stage(table, [3600, 7200], b"new")
    real, calls = getattr(os, operation), iter(range(1, 1000))

    def dying(*arguments):
        if next(calls) == call:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(parts.os, operation, dying)
        with pytest.raises(KeyboardInterrupt):
            table.publish("part", staged)
    after = Parts(tmp_path / "events")
    if successor == "writer":
        other = after.staging(0, "other")
        other.write_bytes(b"other")
        after.publish("other", {0: other})
        after.publish("other", {})
    assert shown(after) == expected
    assert list((tmp_path / "events").glob(".*.journal")) == []


def test_a_part_that_died_before_its_journal_is_replaced_in_its_old_hours_too(table, monkeypatch):
    table.publish("part", stage(table, [0, 3600], b"old"))
    with monkeypatch.context() as patch:
        patch.setattr(parts, "write_whole", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            table.publish("part", stage(table, [3600, 7200], b"new"))
    table.publish("part", stage(table, [3600, 7200], b"new"))
    assert shown(table) == NEW


def test_a_moved_directory_still_completes(table, tmp_path, monkeypatch):
    staged = stage(table, [0, 3600], b"new")
    real, calls = os.replace, iter(range(1, 1000))

    def dying(*arguments):
        if next(calls) == 3:
            raise KeyboardInterrupt
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(parts.os, "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            table.publish("part", staged)
    (tmp_path / "events").rename(tmp_path / "moved")
    assert shown(Parts(tmp_path / "moved")) == {"hour=0": b"new", "hour=3600": b"new"}
