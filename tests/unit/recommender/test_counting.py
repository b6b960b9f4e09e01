from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omakase.adapters.local.catalogue_store import SqliteCatalogueStore
from omakase.adapters.local.model_store import FileModelStore
from omakase.config import Product, load_product
from omakase.core.catalogue import Item
from omakase.core.counts import Counts
from omakase.counts import counts_key, encode_counts
from omakase.ports.model_store import ABSENT
from recommender.loading import BundleLoader

PRODUCT = """
placements:
  home:
    variants:
      a: {share: 2500, policy: rates}
      b: {share: 2500, policy: popular}
      c: {share: 2500, policy: tail, model: one}
      d: {share: 2500, policy: greedy, model: one}
  end: {variants: {a: {share: 10000, policy: greedy, model: one}}}
policies:
  rates: {type: beta_ts, priors: priors.csv, prior_weight: 10}
  popular: {type: popularity}
  tail: {type: epsilon_greedy, tail: 0.5}
  greedy: {type: epsilon_greedy}
models: {one: {features: taste}}
features: {taste: {item: [{type: numeric, name: price}]}}
"""
COUNTS = Counts(("b", "gone"), np.array([99.0, 100.0]), np.array([9.0, 1.0]))


@pytest.fixture
def product(tmp_path: Path) -> Product:
    (tmp_path / "shop.yaml").write_text(PRODUCT)
    (tmp_path / "priors.csv").write_text("item_id,alpha,beta\na,3,7\nnowhere,1,1\n")
    return load_product(tmp_path / "shop.yaml")


@pytest.fixture
def catalogue(tmp_path: Path) -> SqliteCatalogueStore:
    store = SqliteCatalogueStore(tmp_path / "catalogue.db")
    store.put([Item("a", {"price": 1.0}), Item("b", {"price": 2.0})])
    return store


@pytest.fixture
def models(tmp_path: Path) -> FileModelStore:
    return FileModelStore(tmp_path / "models")


@pytest.fixture
def load(product: Product, catalogue: SqliteCatalogueStore, models: FileModelStore) -> BundleLoader:
    return BundleLoader(product, catalogue, models)


def test_only_what_ranks_or_explores_by_counts_has_some(load):
    assert load(None).counts.keys() == {("home", "rates"), ("home", "popular"), ("home", "tail")}


def test_informed_priors_are_in_force_before_the_first_counts_and_strangers_are_told_of(load, caplog):
    found = load(None).counts["home", "rates"]
    assert (found.scorer.alpha[0], found.scorer.beta[0]) == (3.0, 7.0)
    assert found.version == "_counts/home@0"
    assert "policy rates: 1 of 2 items with a prior are not in the catalogue, and are ignored" in caplog.text


def test_new_counts_are_bound_to_the_catalogue_and_nothing_else_is_made_anew(load, models):
    before = load(None)
    assert before.counts["home", "tail"].weights.tolist() == [1.0, 1.0]
    models.publish(counts_key("home"), encode_counts(COUNTS), if_generation=ABSENT)
    after = load(before)
    assert after.counts["home", "tail"].weights == pytest.approx([1.0, 0.1])
    assert after.counts["home", "rates"].version == "_counts/home@1"
    assert after.counts["home", "rates"].scorer.alpha[0] == 3.0
    assert after.counts["home", "rates"].scorer.alpha[1] == pytest.approx(9 + 10 * (10 + 4 + 0.5) / (199 + 12 + 1))
    assert after.models["one"].items is before.models["one"].items
    assert load(after) is after


def test_a_new_catalogue_is_counted_too_and_one_that_is_the_same_is_not_counted_again(load, catalogue, models):
    models.publish(counts_key("home"), encode_counts(COUNTS), if_generation=ABSENT)
    before = load(None)
    catalogue.put([Item("gone", {"price": 3.0})])
    after = load(before)
    assert before.counts["home", "popular"].scorer.impressions.tolist() == [0.0, 99.0]
    assert after.counts["home", "popular"].scorer.impressions.tolist() == [0.0, 99.0, 100.0]


def test_what_is_counted_is_bound_to_ids_and_not_to_what_is_said_of_the_items(load, catalogue, models):
    models.publish(counts_key("home"), encode_counts(COUNTS), if_generation=ABSENT)
    before = load(None)
    catalogue.put([Item("a", {"price": 9.0}, hidden=True)])
    after = load(before)
    assert after.counts["home", "rates"] is before.counts["home", "rates"]


def test_new_items_are_bound_as_if_they_had_been_there_from_the_start(load, catalogue, models, product, caplog):
    models.publish(counts_key("home"), encode_counts(COUNTS), if_generation=ABSENT)
    before = load(None)
    catalogue.put([Item("new"), Item("gone"), Item("nowhere"), Item("newer")])
    caplog.clear()
    grown, anew = load(before).counts, BundleLoader(product, catalogue, models)(None).counts
    assert "with a prior" not in caplog.text
    for where, counted in anew.items():
        for column in ("alpha", "beta", "rates", "impressions"):
            assert getattr(grown[where].scorer, column).tolist() == getattr(counted.scorer, column).tolist()
        assert grown[where].scorer.examples == counted.scorer.examples
    assert grown["home", "tail"].weights.tolist() == anew["home", "tail"].weights.tolist()


def test_where_every_snapshot_is_refused_the_bare_prior_does_not_stand_in(load, models):
    models.publish(counts_key("home"), b"[]", if_generation=ABSENT)
    assert load(None).counts == {}
