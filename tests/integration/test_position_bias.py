"""Positions that are looked at differently: what is recorded, what is learnt of it, and what is estimated of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from batch.examination import Examinations
from omakase.adapters.local.catalogue_store import SqliteCatalogueStore
from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.model_store import FileModelStore
from omakase.adapters.local.warehouse import FileWarehouse
from omakase.config import parse_product
from omakase.core.catalogue import Item
from omakase.core.events import Event
from omakase.core.examination import CERTAIN, Examination
from omakase.core.ids import new_request_id
from omakase.core.learners import LinearLearner
from omakase.core.refolding import ExampleColumns
from omakase.core.slates import Delivery
from omakase.examination import encode_examination, examination_key
from omakase.ports.model_store import ABSENT
from omakase.rows import delivery_rows, event_row
from recommender.loading import BundleLoader
from tests.integration.stage import KEYRING, START
from tests.integration.test_tracking import new_slate
from tests.slates import Ranked, stamp

TRUE = Examination((1.0, 0.6, 0.35))
RELEVANCE = np.array([0.3, 0.25, 0.2, 0.3, 0.25, 0.2])
N, SLATES = RELEVANCE.size, 40_000
# The last three items are as good as the first three, and mostly stand behind them.
FAVOUR = np.array([3.0, 3.0, 3.0, 0.0, 0.0, 0.0])


def slates(rng: np.random.Generator, n: int = SLATES) -> np.ndarray:
    """Shapes: (n, 3)."""
    return np.argsort(-(FAVOUR + rng.gumbel(size=(n, N))), axis=1)[:, :3]


def learnt(examination: Examination) -> np.ndarray:
    """What a linear model with a coordinate for each item takes for the items' click rates, at the first position."""
    rng = np.random.default_rng(20261122)
    shown = slates(rng)
    clicks = (rng.random(shown.shape) < RELEVANCE[shown] * TRUE.of_first(3)).astype(np.float64).ravel()
    factors = np.hstack([np.ones((N, 1)), np.eye(N)]).astype(np.float32)
    served = {
        (item, place): ranked.item_factor
        for item in range(N)
        for place, ranked in enumerate(served_by([Ranked(f"i{item}", 0.0, factors[item], {})] * 3, examination))
    }
    items = np.stack([served[item, place] for row in shown.tolist() for place, item in enumerate(row)])
    nothing, ones = np.full(clicks.size, np.nan), np.ones(clicks.size)
    after = {"click": clicks, "reward": clicks}
    no_context = np.empty((clicks.size, 0), dtype=np.float32)
    learner = LinearLearner(0, N + 1)
    columns = ExampleColumns(no_context, items, ones, ones, after, dict.fromkeys(after, nothing))
    scorer = learner.believe(learner.refold(columns)).over([f"i{i}" for i in range(N)], factors)
    predicted = scorer.predicted_click(np.empty(0, dtype=np.float32), np.arange(N))
    assert predicted is not None
    return predicted


def test_relevance_is_learnt_without_bias_with_the_examination_and_with_bias_without() -> None:
    # 120,000 deliveries: the standard error of a rate is at most 4 %, seed fixed.
    np.testing.assert_allclose(learnt(TRUE), RELEVANCE, rtol=0.08)
    naive = learnt(CERTAIN)
    assert (naive[3:] < 0.65 * RELEVANCE[3:]).all()
    assert (naive[3:] < 0.9 * naive[:3]).all()  # as good as those in front, and taken for worse


def test_what_is_served_is_recorded_as_it_will_be_looked_at() -> None:
    a = Ranked("a", 0.5, np.array([1.0, 4.0], dtype=np.float32), {}, 0.2, 10.0)
    b = Ranked("b", 0.4, np.ones(2, dtype=np.float32), {}, 0.1)
    second = served_by([b, a], TRUE)[1]
    np.testing.assert_allclose(second.item_factor, [0.6, 2.4], rtol=1e-6)
    assert (second.predicted_click, second.expected_value, second.score) == (
        pytest.approx(0.12),
        pytest.approx(1.2),
        0.5,
    )
    assert served_by([b, a], CERTAIN)[1].item_factor is a.item_factor


def served_by(ranked: list[Ranked], examination: Examination) -> tuple[Delivery, ...]:
    return stamp(ranked, new_request_id(START, os.urandom), KEYRING, examination)


PRODUCT = parse_product(
    """
placements: {home: {examination: estimated, variants: {all: {share: 10000, policy: chance}}}}
policies: {chance: {type: uniform}}
"""
)


class Shop:
    """Serves by an examination, and its people look by the true one."""

    def __init__(self, directory: Path) -> None:
        self.warehouse = FileWarehouse(directory / "warehouse")
        self.models = FileModelStore(directory / "models")
        clock = MappedClock.create(directory / "clock", START + 1800)
        self.job = Examinations(self.warehouse, self.models, clock, ["home"])
        catalogue = SqliteCatalogueStore(directory / "catalogue.db")
        catalogue.put([Item(f"i{i}") for i in range(N)])
        self.load = BundleLoader(PRODUCT, catalogue, self.models)
        self._rng = np.random.default_rng(7)

    def serve(
        self,
        n: int,
        by: Examination,
        part: str,
        *,
        predicted: float = 1.0,
        unwanted: str = "",
        at: float = START,
        **fields: object,
    ) -> None:
        """Slates of which every other item is predicted half as good as it is, and what people do with them."""
        deliveries, events = [], []
        for items in slates(self._rng, n).tolist():
            factor = np.ones(2, dtype=np.float32)
            ranked = [Ranked(f"i{i}", 0.5, factor, {}, predicted * RELEVANCE[i] / (1 + i % 2)) for i in items]
            request_id = new_request_id(at, os.urandom)
            slate = replace(new_slate(at), request_id=request_id, **fields)  # type: ignore[arg-type]
            slate = replace(slate, deliveries=stamp(ranked, request_id, KEYRING, by))
            deliveries += delivery_rows(slate)
            clicked = self._rng.random(3) < RELEVANCE[items] * TRUE.of_first(3) if not unwanted else np.ones(3)
            for place, was in enumerate(clicked.tolist()):
                for kind in ("impression", "click") if was else ("impression",):
                    event = Event(os.urandom(16), request_id, place + 1, kind, at + 1.0, unwanted=unwanted)
                    events.append(event_row(event))
        self.warehouse.append("deliveries", part, deliveries)
        self.warehouse.append("events", part, events)

    def examination(self) -> Examination:
        return self.load(None).display("home").examination


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_the_job_estimates_it_whatever_was_served_by_and_recommenders_serve_by_the_estimate(shop: Shop) -> None:
    assert shop.examination() == CERTAIN
    bundle = shop.load(None)
    shop.serve(1500, CERTAIN, "first")
    shop.serve(1500, Examination((1.0, 0.3, 0.9)), "second")
    assert shop.job.run() == 1
    served = shop.load(bundle)
    assert served.catalogue is bundle.catalogue
    # About 700 clicks at the first position, 250 at the third: standard errors of 0.04, seed fixed, and the prior.
    assert served.display("home").examination.of_first(3) == pytest.approx(TRUE.of_first(3), abs=0.12)
    before = shop.models.generation(examination_key("home"))
    shop.job.run()
    assert shop.models.generation(examination_key("home")) == before


def test_a_model_that_predicts_no_click_at_all_keeps_nobody_from_estimating(shop: Shop) -> None:
    shop.serve(1500, CERTAIN, "first", predicted=0.0)
    assert shop.job.run() == 1
    assert shop.examination().of_first(3) == pytest.approx(TRUE.of_first(3), abs=0.15)


def test_what_is_unwanted_old_tried_out_of_another_placement_or_of_the_fallback_is_left_out(shop: Shop) -> None:
    shop.serve(30, CERTAIN, "bots", unwanted="bot")
    shop.serve(30, CERTAIN, "old", at=START - 8 * 86_400)
    shop.serve(30, CERTAIN, "elsewhere", placement="elsewhere")
    shop.serve(30, CERTAIN, "fallback", fallback=True)
    shop.serve(30, CERTAIN, "tried", assigned_by="override")
    assert shop.job.run() == 0
    assert shop.examination() == CERTAIN


def test_a_snapshot_that_is_none_is_refused_and_the_last_good_one_goes_on(shop: Shop) -> None:
    key = examination_key("home")
    shop.models.publish(key, encode_examination(TRUE), if_generation=ABSENT)
    bundle = shop.load(None)
    shop.models.publish(key, b"[2, 1]", if_generation=shop.models.generation(key))
    assert shop.load(bundle).display("home").examination == TRUE
