"""The catalogue in a bucket: what it is made of, and that merging it changes nothing of it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from google.cloud.storage import Client

from omakase.adapters.gcp.storage import catalogue_manifest
from omakase.adapters.gcp.storage.catalogue_manifest import (
    GROWTH,
    MOST_RUNS,
    NEWEST_APART,
    Manifest,
    Run,
    decode_manifest,
    encode_manifest,
)
from omakase.adapters.gcp.storage.catalogue_store import GcsCatalogueStore
from omakase.adapters.gcp.storage.objects import Objects, Stored, holding, new_client, place_of
from omakase.adapters.local.catalogue_store import SqliteCatalogueStore
from omakase.adapters.uri import Uri
from omakase.core.catalogue import Item
from omakase.core.errors import Corrupt
from tests.counterparts import cloud
from tests.counterparts.http_faults import Fault, HttpFaults


def opened(uri: str, part_bytes: int = 200) -> tuple[GcsCatalogueStore, HttpFaults]:
    """A store, and what it asks for."""
    client = new_client()
    return GcsCatalogueStore(objects_of(uri, client), part_bytes=part_bytes), HttpFaults().on(client)


def objects_of(uri: str, client: Client | None = None) -> Objects:
    client = client or new_client()
    return Objects(client, *place_of(Uri.parse(uri)))


@pytest.mark.parametrize("seed", range(2))
def test_any_changes_merged_at_any_time_are_those_of_the_local_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(catalogue_manifest, "MOST_RUNS", 3)
    monkeypatch.setattr(catalogue_manifest, "NEWEST_APART", 1)
    monkeypatch.setattr(catalogue_manifest, "GROWTH", 2)
    draw, uri = random.Random(seed), cloud.catalogue(tmp_path)
    local, store = SqliteCatalogueStore(tmp_path / "local.db"), opened(uri)[0]
    behind = [store.load()]
    for turn in range(30):
        ids = [f"{draw.randrange(12)}" for _ in range(draw.randrange(5))]
        kind = draw.choice(["remove", "update", "put", "put"])
        for each in (local, store):
            _change(each, kind, turn, ids)
        expected, since, first = local.load(), draw.choice(behind), f"{draw.randrange(12)}"
        assert store.generation() == local.generation()
        for found in (store.load(), store.load(since)):
            assert (list(found), found.generation) == (list(expected), expected.generation)
            behind.append(found)
        assert store.page(first, 3) == local.page(first, 3)
    assert len(decode_manifest(objects_of(uri).look("manifest").content, uri).runs) <= 4


def _change(store: GcsCatalogueStore | SqliteCatalogueStore, kind: str, turn: int, ids: list[str]) -> None:
    if kind == "remove":
        store.remove(ids)
    elif kind == "update":
        store.update(ids, lambda item: replace(item, stock=turn))
    else:
        store.put([Item(item_id, {"n": float(turn), "at": float(i)}) for i, item_id in enumerate(ids)])


def test_to_hide_one_item_of_many_costs_a_few_requests_and_kilobytes(tmp_path: Path) -> None:
    uri = cloud.catalogue(tmp_path)
    importer, _ = opened(uri, part_bytes=20_000)
    importer.put(Item(f"{n}", {"price": float(n), "brand": f"brand {n % 97}"}) for n in range(5000))
    (store, seen), (reader, read) = opened(uri), opened(uri)
    store.load()
    before = reader.load()
    seen.seen.clear()
    store.update(["77"], lambda item: replace(item, hidden=True))
    assert [_kind(one) for one in seen.seen] == ["GET manifest", "POST", "POST"]
    read.seen.clear()
    after = reader.load(before)
    assert [_kind(one) for one in read.seen] == ["GET manifest", "GET part"]
    assert after.unavailable()["hidden"].nonzero()[0].tolist() == [77]
    assert after.metadata is before.metadata
    read.seen.clear()
    assert reader.page("78", 2) == [Item("78", {"price": 78.0, "brand": "brand 78"}), Item("780", _facts(780))]
    assert [_kind(one) for one in read.seen] == ["GET manifest"]


def _facts(n: int) -> dict[str, str | float]:
    return {"price": float(n), "brand": f"brand {n % 97}"}


def _kind(seen: str) -> str:
    method, _, url = seen.partition(" ")
    return f"{method} manifest" if "/manifest" in url else f"{method} part" if "/parts/" in url else method


def test_a_reader_whose_parts_were_merged_away_reads_what_is_there_now(tmp_path: Path) -> None:
    uri = cloud.catalogue(tmp_path)
    store, _ = opened(uri)
    store.put([Item("a")])
    objects = objects_of(uri)

    def merge() -> None:
        (old,) = objects.names("parts/")
        part = objects.create("parts/merged-0", objects.look(old).content)
        merged = Manifest(1, 0, (Run(1, 1, 0, (part,)),), ("merged",))
        version = objects.look("manifest").version
        objects.swap("manifest", encode_manifest(merged), if_version=version, is_ours=holding("merged"), generation=1)
        objects.drop([old])

    reader, script = opened(uri)
    script.left = [Fault(method="GET", about="/parts/", is_none=True, meanwhile=merge)]
    assert list(reader.load()) == [Item("a")]
    assert not script.left


def _manifest(*sizes: int) -> Manifest:
    manifest = Manifest()
    for n, size in enumerate(sizes):
        manifest = manifest.followed_by([Run(0, size, 0, (Stored(f"{n}", "", 0),))], f"{n}")
    return manifest


def test_a_catalogue_that_was_there_and_is_gone_is_no_empty_one(tmp_path: Path) -> None:
    uri = cloud.catalogue(tmp_path)
    store, _ = opened(uri)
    store.put([Item("a")])
    store.put([Item("b")])
    before = store.load()
    objects_of(uri).drop(["manifest"])
    assert store.generation() != before.generation
    for ask in (lambda: store.load(before), lambda: store.update(["a"], hidden), lambda: store.remove(["a"])):
        with pytest.raises(Corrupt, match="was at generation 2: restore it, or put all items again"):
            ask()
    store.put([Item("c")])
    assert list(store.load(before)) == [Item("c")]


def hidden(item: Item) -> Item:
    return replace(item, hidden=True)


def test_few_runs_are_left_alone_and_the_newest_always() -> None:
    assert _manifest(*[1] * MOST_RUNS).due() == ()
    many = _manifest(*[1] * (MOST_RUNS + 1))
    assert many.due() == many.runs[:-NEWEST_APART]


def test_a_large_run_is_rewritten_when_an_eighth_of_it_has_changed() -> None:
    before = [1] * MOST_RUNS
    settled = MOST_RUNS + 1 - NEWEST_APART - 1
    unchanged = _manifest(settled * GROWTH + 1, *before)
    assert unchanged.due() == unchanged.runs[1:-NEWEST_APART]
    changed = _manifest(settled * GROWTH, *before)
    assert changed.due() == changed.runs[:-NEWEST_APART]


def test_what_is_merged_takes_the_place_of_its_runs_whatever_came_meanwhile() -> None:
    manifest = _manifest(*[1] * (MOST_RUNS + 1))
    due = manifest.due()
    into = [Run(due[-1].until, 3, 0, (Stored("merged", "", 0),))]
    later = manifest.followed_by([Run(0, 1, 1, (Stored("later", "", 0),))], "later")
    merged = later.merged(due, into, "m")
    assert merged is not None
    assert merged.runs == (*into, *later.runs[len(due) :])
    assert (merged.generation, merged.removed) == (later.generation, later.generation)
    assert merged.merged(due, into, "m") is None
