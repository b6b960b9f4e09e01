from __future__ import annotations

from pathlib import Path

import pytest

from omakase.adapters.local.model_store import FileModelStore
from omakase.core.errors import Corrupt, Unavailable
from omakase.ports.model_store import ABSENT, ModelKey
from omakase.serving.newest import Newest

KEY = ModelKey("popularity/home")


def decode(body: bytes) -> str:
    if body.startswith(b"bad"):
        raise Corrupt("it is bad")
    return body.decode()


@pytest.fixture
def store(tmp_path: Path) -> FileModelStore:
    return FileModelStore(tmp_path)


def publish(store: FileModelStore, body: bytes) -> int:
    return store.publish(KEY, body, if_generation=store.generation(KEY))


def hide(directory: Path) -> Path:
    """Make the pointer unreadable, as a store that is away."""
    (pointer,) = directory.glob("*/newest")
    pointer.rename(directory / "aside")
    pointer.mkdir()
    return pointer


def test_has_nothing_before_the_first_publish_and_that_is_no_refusal(store):
    newest = Newest(store, KEY, decode)
    assert newest.refresh() is False
    assert (newest.value, newest.generation, newest.is_refused) == (None, ABSENT, False)


def test_follows_what_is_published(store):
    newest = Newest(store, KEY, decode)
    publish(store, b"one")
    assert (newest.refresh(), newest.value, newest.generation) == (True, "one", 1)
    assert newest.refresh() is False
    publish(store, b"two")
    assert (newest.refresh(), newest.value, newest.generation) == (True, "two", 2)


def test_refuses_a_bad_one_once_and_takes_the_next_good_one(store, caplog):
    newest = Newest(store, KEY, decode)
    publish(store, b"one")
    newest.refresh()
    publish(store, b"bad")
    assert [newest.refresh() for _ in range(3)] == [False] * 3
    assert (newest.value, newest.generation, newest.refusals) == ("one", 1, 1)
    assert [r.message for r in caplog.records] == ["refused snapshot popularity/home@2: it is bad"]
    publish(store, b"three")
    assert (newest.refresh(), newest.value) == (True, "three")


def test_goes_back_to_the_newest_good_one_only_where_it_has_nothing_yet(store):
    for body in (b"one", b"two", b"bad", b"bad again"):
        publish(store, body)
    newest = Newest(store, KEY, decode)
    assert (newest.refresh(), newest.value, newest.generation) == (True, "two", 2)
    assert newest.refresh() is False


def test_tells_refused_from_absent(store):
    publish(store, b"bad")
    newest = Newest(store, KEY, decode)
    assert (newest.refresh(), newest.value, newest.is_refused) == (False, None, True)


def test_a_bad_first_snapshot_after_absence_leaves_the_prior_in_place(store):
    newest = Newest(store, KEY, decode)
    newest.refresh()
    publish(store, b"bad")
    newest.refresh()
    assert (newest.value, newest.is_refused, newest.refusals) == (None, False, 1)


def test_does_not_take_a_store_that_is_away_for_an_empty_one(store, tmp_path):
    publish(store, b"one")
    pointer = hide(tmp_path)
    newest = Newest(store, KEY, decode)
    with pytest.raises(Unavailable):
        newest.refresh()
    pointer.rmdir()
    (tmp_path / "aside").rename(pointer)
    assert (newest.refresh(), newest.value) == (True, "one")


def test_keeps_what_it_has_while_the_store_is_away_and_says_so_once(store, tmp_path, caplog):
    publish(store, b"one")
    newest = Newest(store, KEY, decode)
    newest.refresh()
    hide(tmp_path)
    assert [newest.refresh() for _ in range(3)] == [False] * 3
    assert newest.value == "one"
    assert len([r for r in caplog.records if "away" in r.message]) == 1


def test_refuses_a_pointer_that_holds_rubbish_and_recovers_from_it(store, tmp_path):
    publish(store, b"one")
    newest = Newest(store, KEY, decode)
    newest.refresh()
    (pointer,) = tmp_path.glob("*/newest")
    pointer.write_text("rubbish")
    assert [newest.refresh() for _ in range(2)] == [False] * 2
    assert (newest.value, newest.refusals) == ("one", 1)
    pointer.write_text("1")
    newest.refresh()
    assert (newest.value, newest.generation) == ("one", 1)
