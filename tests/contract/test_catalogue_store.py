"""Contract of the catalogue store."""

import os
import signal
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from omakase.core.catalogue import Item
from omakase.core.errors import InvalidInput

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
    return list(catalogue.item_ids)


@pytest.fixture
def store(catalogue_stores):
    return catalogue_stores.open()


def test_is_generation_0_without_items_at_first(store):
    assert store.generation() == 0
    assert len(store.load()) == 0
    assert store.load().generation == 0
    assert store.remove(["nothing"]) == 0


def test_loads_items_as_they_were_put(store):
    items = (
        Item("plain"),
        Item("full ✓", {"price": 9.5, "brand": "ø", "new": True, "tags": ("a", "b"), "v": (1.0, -0.25)}, 3.25),
        Item("sold out", value=0.0, in_stock=False),
        Item("hidden", value=-1.5, hidden=True),
        Item("counted", stock=7),
        Item("no piece left", stock=0),
    )
    generation = store.put(items)
    assert tuple(store.load()) == items
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
    assert store.load().item(1) == Item("b", value=2.0)
    assert store.load().item(0) == Item("a", hidden=True)


def test_an_item_named_twice_keeps_its_first_place_and_its_last_form(store):
    store.put([Item("a"), Item("b"), Item("a", value=1.0)])
    assert tuple(store.load()) == (Item("a", value=1.0), Item("b"))


def test_what_is_loaded_since_is_what_is_loaded_anew(store):
    store.put([Item(f"{n}", {"price": float(n)}, value=1.0, stock=n) for n in range(5)])
    before = store.load()
    assert tuple(store.load(before)) == tuple(before)
    changes = (
        lambda: store.put([Item("1", {"price": 1.0}, value=2.0, stock=0), Item("3", {"price": 3.0}, in_stock=False)]),
        lambda: store.put([Item("2", {"price": 2.0}, hidden=True)]),
        lambda: store.put([Item("2", {"price": 20.0})]),
        lambda: store.put([Item("2", {"price": True}), Item("4", {})]),
        lambda: store.put([Item("2", {"price": 1.0})]),
        lambda: store.put([Item("new"), Item("0", {"price": 0.0}, stock=9)]),
        lambda: store.remove(["3"]),
        lambda: (store.remove(["4"]), store.put([Item("4")]), store.put([Item("1", {"price": 1.0}, stock=5)])),
    )
    for change in changes:
        change()
        since = store.load(before)
        assert repr(list(since)) == repr(list(store.load()))
        assert since.generation == store.generation() > before.generation
        before = since


def test_new_stock_shares_what_is_said_of_the_items(store):
    store.put([Item("a", {"price": 1.0}, stock=3), Item("b", {"price": 2.0})])
    before = store.load()
    store.put([Item("a", {"price": 1.0}, stock=0)])
    after = store.load(before)
    assert (after.metadata, after.item_ids) == (before.metadata, before.item_ids)
    assert (after.stock.tolist(), before.stock.tolist()) == ([0, -1], [3, -1])
    assert (after.available.tolist(), before.available.tolist()) == ([False, True], [True, True])


def test_what_is_loaded_since_reads_only_what_was_put_after_it(store, monkeypatch):
    store.put([Item(f"{n}", {"price": float(n)}) for n in range(50)])
    before = store.load()
    store.put([Item("new 1"), Item("7", {"price": 7.5}), Item("new 2", {"colour": "red"}), Item("3", hidden=True)])
    made = []
    keep = Item.__post_init__
    monkeypatch.setattr(Item, "__post_init__", lambda item: (made.append(item.item_id), keep(item))[1])
    after = store.load(before)
    assert sorted(made) == ["3", "7", "new 1", "new 2"]
    assert ids(after) == [*ids(before), "new 1", "new 2"]
    assert after.metadata.changed_since(before.metadata).tolist() == [3, 7, 50, 51]


def test_a_reader_that_fell_far_behind_catches_up_in_one_step(store):
    first = store.load()
    for n in range(100):
        store.put([Item(f"{n}", {"price": float(n)}), Item(f"{n // 2}", {"price": -1.0})])
    assert tuple(store.load(first)) == tuple(store.load())


def test_an_item_that_was_removed_and_comes_back_takes_the_last_place(store):
    store.put([Item("a"), Item("b"), Item("c")])
    before = store.load()
    store.remove(["c", "a"])
    store.put([Item("a", value=2.0)])
    assert ids(store.load(before)) == ids(store.load()) == ["b", "a"]


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
    assert len(store.load()) == 0


def test_takes_and_gives_items_one_by_one(store):
    """However many there are: both ways, at most a few are there at a time."""
    alive = weakref.WeakSet()
    most = 0

    def source():
        nonlocal most
        for n in range(2000):
            item = Watched(f"{n}", {"price": float(n)})
            alive.add(item)
            most = max(most, len(alive))
            yield item

    store.put(source())
    assert most <= 2
    assert len(store.load()) == 2000


class Watched(Item):
    """An item that can be seen to go."""

    __hash__ = object.__hash__


def test_a_reader_never_sees_half_a_change(catalogue_stores):
    writer, reader = catalogue_stores.open(), catalogue_stores.open()
    writer.put([Item(f"{n}", value=0.0) for n in range(50)])

    def rewrite(turn: int) -> None:
        writer.put([Item(f"{n}", value=float(turn)) for n in range(50)])

    with ThreadPoolExecutor(1) as pool:
        for done in [pool.submit(rewrite, turn) for turn in range(1, 31)]:
            catalogue = reader.load()
            assert set(catalogue.values.tolist()) == {float(catalogue.generation - 1)}
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


def test_pages_follow_each_other_in_the_order_of_ids(store):
    names = ["b", "a", "ø", "B", "a/b", "ab", "10", "9"]
    store.put([Item(name, {"n": float(n)}) for n, name in enumerate(names)])
    assert [item.item_id for item in store.page("", 100)] == sorted(names)
    paged, first = [], ""
    while found := store.page(first, 3):
        paged += found[:2]
        first = found[2].item_id if len(found) == 3 else "\U0010ffff"
    assert paged == store.page("", 100)
    assert store.page("aa", 1) == [Item("ab", {"n": 5.0})]
    assert store.page("\U0010ffff", 1) == []


def test_an_update_changes_what_is_there_as_one_generation(store):
    store.put([Item("a", {"n": 1.0}, 2.0, stock=5), Item("b"), Item("c")])
    changed = store.update(["b", "a", "none", "a"], lambda item: replace(item, hidden=True))
    assert changed == [Item("b", hidden=True), Item("a", {"n": 1.0}, 2.0, hidden=True, stock=5)]
    assert (store.generation(), store.load().generation) == (2, 2)
    assert [item.hidden for item in store.load()] == [True, True, False]
    assert store.update(["none"], lambda item: item) == []
    assert store.generation() == 2


def test_an_update_that_fails_changes_nothing(store):
    store.put([Item("a"), Item("b")])

    def change(item: Item) -> Item:
        if item.item_id == "b":
            raise InvalidInput("not this one")
        return replace(item, hidden=True)

    with pytest.raises(InvalidInput, match="not this one"):
        store.update(["a", "b"], change)
    assert store.generation() == 1
    assert list(store.load()) == [Item("a"), Item("b")]


def test_no_update_is_lost_to_another(catalogue_stores):
    one, other = catalogue_stores.open(), catalogue_stores.open()
    one.put([Item("a", stock=0)])
    with ThreadPoolExecutor(2) as pool:
        for store in [one, other] * 50:
            pool.submit(store.update, ["a"], lambda item: replace(item, stock=item.stock + 1))
    assert one.page("a", 1) == [Item("a", stock=100)]
