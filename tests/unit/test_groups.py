"""Which arms people are dealt to together, and since when as they are now."""

from __future__ import annotations

import pytest

from omakase.adapters.local.model_store import FileModelStore
from omakase.allocations import Ledger
from omakase.config import Product, parse_product
from omakase.core.errors import NotFound
from omakase.groups import Group, chosen, groups_of
from omakase.stretches import ledgers

PRODUCT = """
holdout: {share: 200}
placements:
  home:
    layer: front
    holdout: popular
    variants:
      random: {share: 5000, policy: chance}
      popular: {share: 5000, policy: chance}
  end:
    layer: front
    variants: {only: {share: 10000, policy: chance}}
experiments:
  ranker:
    placements: [home, end]
    variants:
      control: {share: 500, policy: chance}
      treatment: {share: SHARE, policy: chance}
policies: {chance: {type: uniform}}
"""


def product(share: int = 500) -> Product:
    return parse_product(PRODUCT.replace("SHARE", str(share)))


def test_without_a_ledger_every_group_has_its_configured_shares_and_all_time() -> None:
    assert groups_of(product(), [], 500.0) == [
        Group("experiment", "ranker", ["home", "end"], {"control": 500, "treatment": 500}),
        Group("share", "home", ["home"], {"random": 5000, "popular": 5000}),
        Group("share", "end", ["end"], {"only": 10_000}),
        Group("holdout", "home", ["home"], {"popular": 1}),
        Group("holdout", "end", ["end"], {"only": 1}),
    ]


def test_a_group_begins_when_its_own_shares_last_changed(tmp_path) -> None:
    store = FileModelStore(tmp_path)
    for at, share in ((100.0, 1000), (200.0, 500)):
        Ledger(store, product(share), lambda at=at: at).settle()
    found = {(one.kind, one.name): one for one in groups_of(product(), list(ledgers(store)), 300.0)}
    experiment, base = found["experiment", "ranker"], found["share", "home"]
    assert (experiment.since, dict(experiment.shares)) == (200.0, {"control": 500, "treatment": 500})
    assert (base.since, dict(base.shares)) == (100.0, {"random": 5000, "popular": 5000})
    assert found["holdout", "home"].since == 0.0


def test_a_start_that_is_asked_for_counts_and_shares_that_changed_after_it_are_known(tmp_path) -> None:
    store = FileModelStore(tmp_path)
    Ledger(store, product(), lambda: 200.0).settle()
    for since, is_alike in ((150.0, False), (250.0, True)):
        experiment = groups_of(product(), list(ledgers(store)), 300.0, since)[0]
        assert (experiment.since, experiment.dealt_since, experiment.is_dealt_alike) == (since, 200.0, is_alike)


@pytest.mark.parametrize(
    ("placement", "experiment", "names"),
    [
        ("", "", ["ranker", "home", "end", "home", "end"]),
        ("end", "", ["ranker", "end", "end"]),
        ("", "ranker", ["ranker"]),
        ("home", "ranker", ["ranker"]),
    ],
)
def test_groups_are_chosen_by_placement_and_experiment(placement, experiment, names) -> None:
    assert [group.name for group in chosen(groups_of(product(), [], 1.0), placement, experiment)] == names


@pytest.mark.parametrize(
    ("placement", "experiment", "words"),
    [("hom", "", "did you mean 'home'"), ("", "rankr", "did you mean 'ranker'"), ("", "gone-by", "known: ranker")],
)
def test_a_name_that_nothing_has_is_refused_in_words(placement, experiment, words) -> None:
    with pytest.raises(NotFound, match=words):
        chosen(groups_of(product(), [], 1.0), placement, experiment)
