"""What a placement's keys do to the slates that are ranked for it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.model_store import FileModelStore
from omakase.config import parse_product
from omakase.config.schema import Product
from omakase.core.catalogue import Catalogue, Item
from omakase.core.ids import NOBODY, Keyring, Pseudonym
from omakase.core.slates import Slate
from recommender import metrics
from recommender.bundle import Bundle, Rules, ServedModel
from recommender.displays import displays_of
from recommender.item_matrix import ItemMatrix
from recommender.messages import reply_of
from recommender.ranking import Query, Ranker

NOW = 1_800_000_000.0
ANNA, BEN = Pseudonym("anna"), Pseudonym("ben")
QUERY = Query("home", "all", "chance", "", ANNA, NOBODY, {}, 3, [], None, personalise=True)
CATALOGUE = Catalogue(Item(f"i{i}", {"kind": f"k{i % 3}", "price": float(i)}, float(i) or None) for i in range(30))


def product(keys: str) -> Product:
    return parse_product(
        f"""
placements: {{home: {{{keys}, variants: {{all: {{share: 10000, policy: greedy, model: main}}}}}}}}
policies: {{chance: {{type: uniform}}, greedy: {{type: linear_ts, exploration: 0}}, ts: {{type: linear_ts}}}}
models: {{main: {{features: all}}}}
features: {{all: {{item: [{{type: numeric, name: price, scale: 30}}]}}}}
"""
    )


class Shop:
    """One recommender process after another, over one configuration."""

    def __init__(self, directory: Path, keys: str, catalogue: Catalogue = CATALOGUE) -> None:
        self.product = product(keys)
        self.clock = MappedClock.create(directory / "clock", NOW)
        self._displays = displays_of(self.product, FileModelStore(directory / "models"))
        self.restart()
        self.show(catalogue)

    def restart(self, pseudonym_key: bytes = b"p" * 16) -> None:
        ring = Keyring({1: b"k" * 16}, 1, pseudonym_key)
        self.ranker = Ranker(ring, self.clock, np.random.default_rng())

    def show(self, catalogue: Catalogue) -> None:
        spec = self.product.feature_spec("main")
        learner = self.product.models["main"].compile(spec)
        items = ItemMatrix.of(catalogue, spec)
        scorer = learner.believe(learner.empty()).over(catalogue.item_ids, items.factors)
        models = {"main": ServedModel("main/1", "main/1@0", spec, scorer, items)}  # type: ignore[arg-type]
        displays = {name: display.served(catalogue) for name, display in self._displays.items()}
        self.bundle = Bundle.of(Rules.of(self.product), catalogue, models, {}, displays)

    def slate(self, **changes: object) -> Slate:
        return self.ranker.answer(self.bundle, structs.replace(QUERY, **changes)).slate  # type: ignore[arg-type]

    def items(self, **changes: object) -> list[str]:
        return [delivery.item_id for delivery in self.slate(**changes).deliveries]


def test_the_same_person_sees_the_same_draw_until_its_time_is_over(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "slate_ttl_s: 600")
    first, again = shop.slate(policy="ts", model="main"), shop.slate(policy="ts", model="main")
    assert [(d.item_id, d.score) for d in first.deliveries] == [(d.item_id, d.score) for d in again.deliveries]
    assert first.request_id != again.request_id
    assert not {d.delivery_id for d in first.deliveries} & {d.delivery_id for d in again.deliveries}
    seen = shop.items()
    shop.restart()
    assert shop.items() == seen
    shop.clock.move(NOW + 600)
    assert shop.items() != seen


@pytest.mark.parametrize(
    "changes",
    [{"unit": BEN}, {"policy": "ts", "model": "main"}, {"unit": NOBODY}, {"personalise": False}],
    ids=["another person", "another policy", "nobody", "without consent"],
)
def test_whoever_else_asks_sees_another_draw(tmp_path: Path, changes: dict[str, object]) -> None:
    shop = Shop(tmp_path, "slate_ttl_s: 600")
    assert shop.items(limit=10, **changes) != shop.items(limit=10)
    if changes.get("unit") == NOBODY or "personalise" in changes:
        assert shop.items(limit=10, **changes) != shop.items(limit=10, **changes)


def test_another_key_draws_otherwise_and_a_user_stands_in_for_a_missing_unit(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "slate_ttl_s: 600")
    seen = shop.items(limit=10)
    assert shop.items(limit=10, unit=NOBODY, user=ANNA) == seen
    shop.restart(b"q" * 16)
    assert shop.items(limit=10) != seen


def test_not_all_people_s_slates_change_at_once(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "slate_ttl_s: 600")
    people = [Pseudonym(f"p{i}") for i in range(60)]
    changed = []
    for at in (0.0, 150.0, 300.0, 450.0, 600.0):
        shop.clock.move(NOW + at)
        changed.append({person: tuple(shop.items(unit=person, limit=10)) for person in people})
    turns = [sum(a[p] != b[p] for p in people) for a, b in pairwise(changed)]
    assert sum(turns) == len(people)
    assert max(turns) < 30  # a quarter each is expected


def test_without_a_time_every_draw_is_fresh(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "draw: slate")
    assert len({tuple(shop.items(limit=10)) for _ in range(5)}) == 5


def test_revenue_ranks_by_score_times_value_and_an_item_without_one_counts_as_nothing(tmp_path: Path) -> None:
    keys = "rewards: {click: 1, impression: 1}"
    clicks, revenue = Shop(tmp_path / "clicks", keys), Shop(tmp_path / "revenue", f"objective: revenue, {keys}")
    for shop in (clicks, revenue):  # every score is positive, and falls with the price
        model = shop.bundle.models["main"]
        belief = replace(model.scorer.belief, mean=np.array([1.0, -0.9], dtype=np.float32))
        scorer = belief.over(CATALOGUE.item_ids, model.items.factors)
        shop.bundle = replace(shop.bundle, models={"main": replace(model, scorer=scorer)})
    asked = {"policy": "greedy", "model": "main"}
    assert clicks.items(**asked) == ["i0", "i1", "i2"]
    worth = {i: (1 - 0.9 * i / 30) * i for i in range(30)}
    assert revenue.items(**asked) == [f"i{i}" for i in sorted(worth, key=worth.__getitem__, reverse=True)[:3]]
    assert revenue.items(limit=30, **asked)[-1] == "i0"
    assert metrics.VALUELESS.labels("home")._value.get() == 1


def test_a_uniform_policy_measures_whatever_the_objective(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "objective: revenue")
    assert any("i0" in shop.items(limit=10) for _ in range(60))  # though it is worth nothing


def test_caps_and_pins_hold_and_what_has_no_effect_is_counted(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "caps: {kind: 1, colour: 2}, pinned: {2: i5, 1: gone}")
    for _ in range(20):
        shown = shop.items(limit=5)
        assert shown[1] == "i5"
        assert len({int(item[1:]) % 3 for item in shown}) == len(shown) == 3
    assert metrics.DISPLAY_FAULTS.labels("home")._value.get() == 2
    assert "i5" not in shop.items(exclude=["i5"])


def test_a_draw_for_each_slot_shows_other_slates_than_one_for_all(tmp_path: Path) -> None:
    # One draw puts items in the order of their price, up or down; with one for each slot the ends take turns.
    slate, slot = Shop(tmp_path / "slate", "draw: slate"), Shop(tmp_path / "slot", "draw: slot")
    asked = {"policy": "ts", "model": "main", "limit": 2}
    assert {"i0", "i29"} not in [set(slate.items(**asked)) for _ in range(40)]
    assert {"i0", "i29"} in [set(slot.items(**asked)) for _ in range(40)]


def test_exposure_keeps_few_pieces_from_everybody(tmp_path: Path) -> None:
    catalogue = Catalogue([Item("few", {"price": 1.0}, stock=2), Item("many", {"price": 1.0})])
    shop = Shop(tmp_path, "exposure: {per_stock: 3, window_s: 60}", catalogue)
    assert sum("few" in shop.items() for _ in range(10)) == 6
    shop.clock.move(NOW + 64)
    assert "few" in shop.items()


def test_what_is_recorded_has_the_examination_in_it(tmp_path: Path) -> None:
    deliveries = Shop(tmp_path, "examination: [1, 0.5]").slate(policy="ts", model="main").deliveries
    assert [delivery.item_factor[0] for delivery in deliveries] == [1.0, 0.5, 0.5]


def test_a_slate_of_chance_is_not_explained_by_the_model_beside_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "slots: 3")
    answer = shop.ranker.answer(shop.bundle, structs.replace(QUERY, model="main"))
    slate = reply_of(answer, explain=True).slate
    assert len(slate.predicted_click) == 3
    assert not slate.explanation[0].HasField("mean")
    assert slate.explanation[0].reason == "drawn into position 1"
