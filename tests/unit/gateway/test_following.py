from __future__ import annotations

from pathlib import Path

import pytest

from gateway.shelf import Shelf, ShelfLoader
from omakase.adapters.local.catalogue_store import SqliteCatalogueStore
from omakase.adapters.local.model_store import FileModelStore
from omakase.core.catalogue import Item
from omakase.core.choices import Layout


@pytest.fixture
def catalogue(tmp_path: Path) -> SqliteCatalogueStore:
    catalogue = SqliteCatalogueStore(tmp_path / "catalogue.db")
    catalogue.put([Item(f"i{n}") for n in range(4)])
    return catalogue


@pytest.fixture
def models(tmp_path: Path) -> FileModelStore:
    return FileModelStore(tmp_path / "models")


def first(shelf: Shelf, placement: str) -> str:
    return shelf.best(placement, 1, [], None)[0][0].item_id


def test_the_loader_of_another_configuration_makes_its_own_shelf_of_the_same_catalogue(catalogue, models):
    before = ShelfLoader(["home"], catalogue, models)(None)
    load = ShelfLoader(["home", "cart"], catalogue, models, {"cart": Layout({}, {1: "i2"})})
    after = load(before)
    assert (first(after, "home"), first(after, "cart")) == ("i0", "i2")
    assert after.catalogue is before.catalogue
    assert load(after) is after
