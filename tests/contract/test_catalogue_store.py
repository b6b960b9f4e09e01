"""Contract of the catalogue store."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from omakase.core.catalogue import Item

PUT_FOR_EVER = """
import sys
from omakase.adapters import open_catalogue_store
from omakase.core.catalogue import Item
store = open_catalogue_store(sys.argv[1])
while True:
    n = store.generation() + 1
    store.put([Item(f"{n}-a"), Item(f"{n}-b")])
    print(n, flush=True)
"""


def ids(catalogue) -> list[str]:
    return [item.item_id for item in catalogue.items]


@pytest.fixture
def store(catalogue_stores):
    return catalogue_stores.open()


def test_is_generation_0_without_items_at_first(store):
    assert store.generation() == 0
    assert store.load().items == ()
    assert store.load().generation == 0
    assert store.remove(["nothing"]) == 0


def test_loads_items_as_they_were_put(store):
    items = (
        Item("plain"),
        Item("full ✓", {"price": 9.5, "brand": "ø", "new": True, "tags": ("a", "b"), "v": (1.0, -0.25)}, 3.25),
        Item("sold out", value=0.0, in_stock=False),
        Item("hidden", value=-1.5, hidden=True),
    )
    generation = store.put(items)
    assert store.load().items == items
    assert store.load().generation == store.generation() == generation == 1


def test_every_change_is_one_generation(store):
    assert store.put([Item("a"), Item("b"), Item("c")]) == 1
    assert store.put(iter([Item("d")])) == 2
    assert store.remove(["a", "b"]) == 3
    assert store.generation() == 3


def test_what_changes_nothing_makes_no_generation(store):
    store.put([Item("a")])
    assert store.put([]) == 1
    assert store.remove([]) == 1
    assert store.remove(["unknown"]) == 1
    assert store.generation() == 1


def test_a_replaced_item_keeps_its_place(store):
    store.put([Item("a"), Item("b"), Item("c")])
    store.put([Item("d"), Item("b", value=2.0), Item("a", hidden=True)])
    assert ids(store.load()) == ["a", "b", "c", "d"]
    assert store.load().items[1] == Item("b", value=2.0)
    assert store.load().items[0] == Item("a", hidden=True)


def test_an_item_named_twice_keeps_its_first_place_and_its_last_form(store):
    store.put([Item("a"), Item("b"), Item("a", value=1.0)])
    assert store.load().items == (Item("a", value=1.0), Item("b"))


def test_removes_items_and_ignores_unknown_ids(store):
    store.put([Item("a"), Item("b"), Item("c")])
    assert store.remove(["b", "unknown", "b"]) == 2
    assert ids(store.load()) == ["a", "c"]


def test_puts_all_or_none_when_the_source_breaks_off(store):
    def source():
        yield Item("a")
        raise RuntimeError("the file ended in the middle of a line")

    with pytest.raises(RuntimeError):
        store.put(source())
    assert store.generation() == 0
    assert store.load().items == ()


def test_a_reader_never_sees_half_a_change(catalogue_stores):
    writer, reader = catalogue_stores.open(), catalogue_stores.open()
    writer.put([Item(f"{n}", value=0.0) for n in range(50)])

    def rewrite(turn: int) -> None:
        writer.put([Item(f"{n}", value=float(turn)) for n in range(50)])

    with ThreadPoolExecutor(1) as pool:
        for done in [pool.submit(rewrite, turn) for turn in range(1, 31)]:
            catalogue = reader.load()
            assert {item.value for item in catalogue.items} == {float(catalogue.generation - 1)}
            done.result()


def test_racing_writers_get_a_generation_each(catalogue_stores):
    stores = [catalogue_stores.open() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        generations = list(pool.map(lambda n: stores[n % 4].put([Item(f"{n}")]), range(40)))
    assert sorted(generations) == list(range(1, 41))
    assert set(ids(stores[0].load())) == {f"{n}" for n in range(40)}


def test_keeps_what_it_acknowledged_when_the_writer_is_killed(catalogue_stores, spawn):
    child = spawn(PUT_FOR_EVER, catalogue_stores.uri)
    acknowledged = 0
    while acknowledged < 50:
        acknowledged = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
    catalogue = catalogue_stores.open().load()
    assert catalogue.generation >= acknowledged
    assert ids(catalogue) == [f"{n}-{end}" for n in range(1, catalogue.generation + 1) for end in "ab"]
