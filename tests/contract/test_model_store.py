"""Contract of the model store."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from omakase.core.errors import Conflict, NotFound
from omakase.ports.model_store import ABSENT, ModelKey

KEY = ModelKey("home-top/linear")
OTHER = ModelKey("Home-Top/linear")

PUBLISH_FOR_EVER = """
import sys
from omakase.adapters import open_model_store
store, key = open_model_store(sys.argv[1]), "home-top/linear"
generation = store.generation(key)
while True:
    generation = store.publish(key, b"%d " % (generation + 1) * 5000, if_generation=generation)
    print(generation, flush=True)
"""

ADD_ONE_50_TIMES = """
import sys
from omakase.adapters import open_model_store
from omakase.core.errors import Conflict
store, key, done = open_model_store(sys.argv[1]), "home-top/linear", 0
while done < 50:
    snapshot, generation = store.latest(key)
    try:
        store.publish(key, b"%d" % (int(snapshot) + 1), if_generation=generation)
        done += 1
    except Conflict:
        pass
print("done", flush=True)
"""


@pytest.fixture
def store(model_stores):
    return model_stores.open()


def test_is_absent_before_the_first_publish(store):
    assert store.generation(KEY) == ABSENT
    assert store.latest(KEY) is None
    assert store.history(KEY) == []
    assert store.keys() == []
    with pytest.raises(NotFound):
        store.read(KEY, ABSENT)


def test_reads_what_was_published_last(store):
    first = store.publish(KEY, b"one", if_generation=ABSENT)
    second = store.publish(KEY, bytes(range(256)) * 1000, if_generation=first)
    assert second > first > ABSENT
    assert store.latest(KEY) == (bytes(range(256)) * 1000, second)
    assert store.generation(KEY) == second
    assert store.history(KEY) == [second, first]


def test_takes_an_empty_snapshot(store):
    generation = store.publish(KEY, b"", if_generation=ABSENT)
    assert store.latest(KEY) == (b"", generation)


def test_reads_an_older_snapshot_that_is_kept(store):
    first = store.publish(KEY, b"one", if_generation=ABSENT)
    second = store.publish(KEY, b"two", if_generation=first)
    assert store.read(KEY, first) == b"one"
    assert store.read(KEY, second) == b"two"
    with pytest.raises(NotFound, match=str(second + 1)):
        store.read(KEY, second + 1)


@pytest.mark.parametrize("stale", [ABSENT, 1, 3, 99])
def test_refuses_a_writer_at_another_generation_and_shows_nothing_of_it(store, stale):
    first = store.publish(KEY, b"one", if_generation=ABSENT)
    second = store.publish(KEY, b"two", if_generation=first)
    with pytest.raises(Conflict):
        store.publish(KEY, b"stale", if_generation=stale)
    assert store.latest(KEY) == (b"two", second)
    assert store.history(KEY) == [second, first]


def test_refuses_to_continue_what_was_never_begun(store):
    with pytest.raises(Conflict):
        store.publish(KEY, b"one", if_generation=5)
    assert store.latest(KEY) is None
    assert store.keys() == []


def test_lets_exactly_one_of_many_racing_writers_win(store):
    base = store.publish(KEY, b"base", if_generation=ABSENT)

    def attempt(i: int) -> bool:
        try:
            store.publish(KEY, str(i).encode(), if_generation=base)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(attempt, range(32)))
    assert won.count(True) == 1
    assert store.latest(KEY)[0] == str(won.index(True)).encode()


def test_loses_no_addition_of_racing_processes(model_stores, spawn):
    store = model_stores.open()
    store.publish(KEY, b"0", if_generation=ABSENT)
    children = [spawn(ADD_ONE_50_TIMES, model_stores.uri) for _ in range(3)]
    for child in children:
        assert child.stdout.readline() == "done\n"
    assert store.latest(KEY)[0] == b"150"


def test_a_reader_never_sees_half_a_snapshot_while_many_are_published(model_stores):
    writer, reader = model_stores.open(), model_stores.open()
    generation = writer.publish(KEY, b"\0" * 100_000, if_generation=ABSENT)

    def publish_all() -> None:
        base = generation
        for n in range(1, 101):
            base = writer.publish(KEY, bytes([n]) * 100_000, if_generation=base)

    with ThreadPoolExecutor(1) as pool:
        done, seen = pool.submit(publish_all), 0
        while not done.done():
            snapshot, newest = reader.latest(KEY)
            assert snapshot == snapshot[:1] * 100_000
            assert newest - generation == snapshot[0]
            assert newest >= seen
            seen = newest
        done.result()
    assert reader.latest(KEY)[0][0] == 100


def test_keys_are_apart_and_sorted_whatever_they_hold(store):
    keys = [KEY, OTHER, ModelKey("."), ModelKey(".."), ModelKey("../x"), ModelKey("ü:% *"), ModelKey("a/b/c"), "a"]
    for key in keys:
        store.publish(key, key.encode(), if_generation=ABSENT)
    assert store.keys() == sorted(keys)
    assert [store.latest(key)[0] for key in keys] == [key.encode() for key in keys]


def test_keeps_what_it_acknowledged_when_reopened(model_stores):
    generation = model_stores.open().publish(KEY, b"kept", if_generation=ABSENT)
    assert model_stores.open().latest(KEY) == (b"kept", generation)


def test_keeps_what_it_acknowledged_when_writer_after_writer_is_killed(model_stores, spawn):
    store = model_stores.open()
    for _ in range(5):
        before = store.generation(KEY)
        child = spawn(PUBLISH_FOR_EVER, model_stores.uri)
        acknowledged = before
        while acknowledged < before + 10:
            acknowledged = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
        snapshot, generation = store.latest(KEY)
        assert generation >= acknowledged
        assert snapshot == b"%d " % generation * 5000
        assert store.history(KEY)[0] == generation


def test_keeps_the_20_newest(store):
    generation = ABSENT
    for n in range(25):
        generation = store.publish(KEY, b"%d" % n, if_generation=generation)
    kept = store.history(KEY)
    assert kept[:20] == list(range(generation, generation - 20, -1))
    assert [store.read(KEY, g) for g in kept[:20]] == [b"%d" % n for n in range(24, 4, -1)]
