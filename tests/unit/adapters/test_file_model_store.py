"""What a writer that dies, a disk that lies and time leave of the model store's files."""

import os
from pathlib import Path

import pytest

from omakase.adapters.local import files
from omakase.adapters.local.model_store import FileModelStore
from omakase.adapters.retention import thinned
from omakase.core.errors import Corrupt, InvalidInput, NotFound, Unavailable
from omakase.ports.model_store import ABSENT, ModelKey

KEY = ModelKey("linear")
HOUR_S = 3600.0
NOW = 1_700_000_000.0 // HOUR_S * HOUR_S


@pytest.fixture
def store(tmp_path):
    return FileModelStore(tmp_path)


@pytest.fixture
def home(tmp_path):
    return tmp_path / KEY


def fail_at(monkeypatch, name: str, call: int) -> None:
    """Make the call-th use of an operation of the disk fail."""
    real, calls = getattr(os, name), iter(range(1, 1000))

    def failing(*arguments, **options):
        if next(calls) == call:
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(files.os, name, failing)


@pytest.mark.parametrize(
    ("operation", "call", "is_there"),
    [
        ("fsync", 1, False),
        ("replace", 1, False),
        ("fsync", 2, False),
        ("fsync", 3, False),
        ("replace", 2, False),
        # The pointer has moved, only the directory was not synced: the outcome is for the caller to find out.
        ("fsync", 4, True),
    ],
)
def test_is_readable_and_writable_after_a_failure_at_any_step(tmp_path, store, monkeypatch, operation, call, is_there):
    first = store.publish(KEY, b"first", if_generation=ABSENT)
    with monkeypatch.context() as patch:
        fail_at(patch, operation, call)
        with pytest.raises(Unavailable):
            store.publish(KEY, b"second", if_generation=first)
    again = FileModelStore(tmp_path)
    assert again.latest(KEY) == ((b"second", first + 1) if is_there else (b"first", first))
    assert again.history(KEY) == ([first + 1, first] if is_there else [first])
    newest = again.generation(KEY)
    third = again.publish(KEY, b"third", if_generation=newest)
    assert again.latest(KEY) == (b"third", third)
    assert again.read(KEY, first) == b"first"


def test_what_a_dead_writer_left_is_not_shown_and_then_removed(store, home):
    first = store.publish(KEY, b"first", if_generation=ABSENT)
    # Died after the snapshot was renamed, and another one in the middle of writing it.
    (home / "2.snapshot").write_bytes((home / "1.snapshot").read_bytes())
    (home / ".2.snapshot.123-456.tmp").write_bytes(b"half")
    assert store.latest(KEY) == (b"first", first)
    assert store.history(KEY) == [first]
    with pytest.raises(NotFound):
        store.read(KEY, 2)
    second = store.publish(KEY, b"second", if_generation=first)
    assert store.read(KEY, second) == b"second"
    assert sorted(path.name for path in home.iterdir()) == ["1.snapshot", "2.snapshot", "lock", "newest"]


def test_a_key_whose_first_writer_died_is_absent(store, home):
    home.mkdir()
    (home / "1.snapshot").write_bytes(b"whatever")
    assert store.latest(KEY) is None
    assert store.keys() == []
    assert store.publish(KEY, b"first", if_generation=ABSENT) == 1


@pytest.mark.parametrize("position", [0, 10, 24, -1])
def test_a_flipped_byte_is_corrupt(store, home, position):
    generation = store.publish(KEY, b"snapshot", if_generation=ABSENT)
    content = bytearray((home / "1.snapshot").read_bytes())
    content[position] ^= 1
    (home / "1.snapshot").write_bytes(content)
    with pytest.raises(Corrupt, match="checksum"):
        store.latest(KEY)
    with pytest.raises(Corrupt, match="checksum"):
        store.read(KEY, generation)


def test_a_cut_snapshot_is_corrupt(store, home):
    store.publish(KEY, b"snapshot", if_generation=ABSENT)
    os.truncate(home / "1.snapshot", 12)
    with pytest.raises(Corrupt):
        store.latest(KEY)


@pytest.mark.parametrize("content", [b"", b"seven", b"-1", b"1 "])
def test_a_pointer_that_is_no_number_is_corrupt(store, home, content):
    store.publish(KEY, b"snapshot", if_generation=ABSENT)
    (home / "newest").write_bytes(content)
    for ask in (store.generation, store.latest, store.history):
        with pytest.raises(Corrupt, match="not a generation"):
            ask(KEY)


def test_a_pointer_to_nothing_is_corrupt(store, home):
    store.publish(KEY, b"snapshot", if_generation=ABSENT)
    (home / "1.snapshot").unlink()
    with pytest.raises(Corrupt, match="not there"):
        store.latest(KEY)


def test_is_unavailable_where_the_directory_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    store = FileModelStore(tmp_path / "file")
    with pytest.raises(Unavailable):
        store.publish(KEY, b"snapshot", if_generation=ABSENT)
    with pytest.raises(Unavailable):
        store.generation(KEY)


@pytest.mark.parametrize("key", ["", "x" * 201, "/" * 67, "\ud800"])
def test_refuses_keys_that_no_file_can_be_named_after(store, key):
    with pytest.raises(InvalidInput, match="model key"):
        store.publish(ModelKey(key), b"snapshot", if_generation=ABSENT)


def test_publishing_thins_by_the_age_of_the_files(store, home):
    generation = ABSENT
    for _ in range(30):
        generation = store.publish(KEY, b"snapshot", if_generation=generation)
        # All of long ago, in one hour.
        os.utime(home / f"{generation}.snapshot", (NOW, NOW))
    assert store.history(KEY) == list(range(30, 10, -1))
    assert len(list(Path(home).glob("*.snapshot"))) == 20


def test_thinning_keeps_the_20_newest_whatever_their_age():
    published = [(n, NOW - 30 * 86400) for n in range(1, 26)]
    assert thinned(published, NOW) == {1, 2, 3, 4, 5}


def test_thinning_keeps_the_last_of_each_hour_for_seven_days():
    # Ten minutes apart, for eight days.
    published = [(n, NOW - (8 * 144 - n) * 600.0) for n in range(1, 8 * 144 + 1)]
    kept = dict(published)
    for generation in thinned(published, NOW):
        del kept[generation]
    newest, hourly = sorted(kept)[-20:], sorted(kept)[:-20]
    assert newest == list(range(1133, 1153))
    # Of the hours before those that the 20 newest reach into: the last of each, and none older than seven days.
    assert [kept[generation] % HOUR_S for generation in hourly] == [3000.0] * len(hourly)
    assert all(NOW - kept[generation] <= 7 * 86400 for generation in hourly)
    hours = {kept[generation] // HOUR_S for generation in kept}
    assert hours == set(range(int(min(hours)), int(NOW // HOUR_S) + 1))
    assert len(hourly) == 164
