"""From clicks and impressions in the warehouse to the counts that are ranked by without a model."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from gateway.shelf import ShelfLoader
from omakase.adapters.local.catalogue_store import SqliteCatalogueStore
from omakase.core.catalogue import Item
from omakase.core.slates import FALLBACK
from omakase.core.tables import hour_of
from omakase.counts import counts_key, decode_counts
from omakase.ports.model_store import ABSENT
from tests.integration.test_batch import HALF_LIFE_S, HOUR, WINDOW_S, Desk
from tests.integration.test_tracking import new_slate

DAY_S = 24 * 3600.0


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def counts(desk: Desk, placement: str = "home") -> dict[str, tuple[float, float]]:
    """Impressions and clicks by item, as published."""
    body, _ = desk.store.latest(counts_key(placement))
    found = decode_counts(body)
    return dict(zip(found.item_ids, zip(found.impressions.tolist(), found.clicks.tolist(), strict=True), strict=True))


def click_through(desk: Desk, clicks: dict[int, int], n: int = 40, placement: str = "home", at: float = HOUR) -> None:
    """n slates; position p is clicked in the first `clicks[p]` of them, and always seen."""
    for i in range(n):
        slate = replace(new_slate(at + i), placement=placement)
        desk.serve(slate)
        for position in (1, 2, 3):
            is_clicked = i < clicks.get(position, 0)
            desk.happen(slate, position, "click" if is_clicked else "impression", at + i + 1)
    desk.clock.move(at + 1000)
    desk.loader.load()
    desk.aggregate()


def test_counts_are_those_of_every_variant_faded_by_their_age_whenever_the_job_ran(desk):
    random = Random(20261122)
    expected: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    newest = hour_of(HOUR + 9 * DAY_S)
    for day in range(10):
        for i in range(12):
            at = HOUR + day * DAY_S + i * 1200.0
            variant, policy = random.choice([("control", "chance"), ("learnt", "ts"), ("learnt", FALLBACK)])
            slate = replace(new_slate(at if day < 9 else HOUR + 9 * DAY_S), variant=variant, policy=policy)
            desk.serve(slate)
            weight = 2 ** ((hour_of(slate.served_at) - newest) / HALF_LIFE_S)
            for delivery in slate.deliveries:
                kinds = random.choice([[], ["impression"], ["click", "impression"], ["click", "click"]])
                for kind in kinds:
                    desk.happen(slate, delivery.position, kind, slate.served_at + 5)
                expected[delivery.item_id][0] += weight * bool(kinds)
                expected[delivery.item_id][1] += weight * ("click" in kinds)
        if day % 3:  # the job is away for two days
            continue
        desk.clock.move(HOUR + day * DAY_S + 5 * 3600)
        desk.loader.load()
        desk.aggregate()
    # Each hour's sum is kept to six decimals.
    assert counts(desk) == {item: pytest.approx(pair, abs=1e-4) for item, pair in expected.items()}


def test_after_a_half_life_a_click_counts_half_and_in_the_end_not_at_all(desk):
    click_through(desk, {1: 20})
    assert counts(desk)["i0"] == (40.0, 20.0)
    click_through(desk, {}, n=1, at=HOUR + HALF_LIFE_S)
    assert counts(desk)["i0"] == (21.0, 10.0)
    click_through(desk, {}, n=1, at=HOUR + 10 * HALF_LIFE_S)
    seen, clicked = counts(desk)["i0"]
    assert (seen, clicked) == (pytest.approx(1 + 2**-9), 0.0)


def test_counts_are_published_only_when_they_changed_and_per_placement(desk):
    click_through(desk, {1: 20})
    desk.clock.move(HOUR + WINDOW_S + 30 * 3600)  # nobody comes for a day, and nothing fades
    desk.aggregate()
    assert desk.store.generation(counts_key("home")) == 1
    click_through(desk, {3: 20}, placement="end", at=HOUR + WINDOW_S + 40 * 3600)
    assert desk.store.generation(counts_key("home")) == 1
    assert counts(desk, "end") == {"i0": (40.0, 0.0), "i1": (40.0, 0.0), "i2": (40.0, 20.0)}


def test_what_is_excluded_as_a_machine_s_doing_is_not_counted(desk):
    slate = new_slate(HOUR)
    desk.serve(slate)
    desk.happen(slate, 1, "click", HOUR + 1, unwanted="bot")
    desk.happen(slate, 2, "click", HOUR + 1)
    desk.clock.move(HOUR + 1000)
    desk.loader.load()
    desk.aggregate()
    assert counts(desk) == {"i1": (1.0, 1.0)}


def test_an_impression_counts_for_as_likely_as_its_position_was_looked_at(desk):
    slate = new_slate(HOUR)
    looked_at = [1.0, 0.5, 0.25]
    deliveries = tuple(
        replace(delivery, item_factor=np.array([share], dtype=np.float32))
        for delivery, share in zip(slate.deliveries, looked_at, strict=True)
    )
    fallback = replace(new_slate(HOUR + 1), policy=FALLBACK)
    blank = np.empty(0, dtype=np.float32)
    desk.serve(replace(slate, deliveries=deliveries))
    desk.serve(replace(fallback, deliveries=tuple(replace(d, item_factor=blank) for d in fallback.deliveries)))
    for position in (1, 2, 3):
        desk.happen(slate, position, "click" if position == 3 else "impression", HOUR + 1)
    desk.happen(fallback, 3, "impression", HOUR + 2)
    desk.clock.move(HOUR + 1000)
    desk.loader.load()
    desk.aggregate()
    assert counts(desk) == {"i0": (1.0, 0.0), "i1": (0.5, 0.0), "i2": (1.25, 1.0)}


def test_counts_that_cannot_be_read_are_made_anew(desk, caplog):
    desk.store.publish(counts_key("home"), b"{}", if_generation=ABSENT)
    (snapshot,) = (desk.directory / "models").glob("*/1.snapshot")
    snapshot.write_bytes(b"rotten")
    click_through(desk, {1: 20})
    assert counts(desk)["i0"] == (40.0, 20.0)
    assert desk.store.generation(counts_key("home")) == 2
    assert "made anew" in caplog.text


def test_the_gateway_s_fallback_ranks_by_them_and_what_nobody_saw_is_like_the_placement(desk):
    click_through(desk, {1: 2, 2: 20, 3: 14})
    catalogue = SqliteCatalogueStore(desk.directory / "catalogue.db")
    catalogue.put([Item(item_id) for item_id in ("new", "i0", "i1", "i2")])
    shelf = ShelfLoader(["home", "elsewhere"], catalogue, desk.store)(None)
    assert [item.item_id for item in shelf.best("home", 4, [], None)[0]] == ["i1", "i2", "new", "i0"]
    assert [item.item_id for item in shelf.best("elsewhere", 4, [], None)[0]] == ["new", "i0", "i1", "i2"]


def test_one_lucky_click_does_not_make_an_item_the_most_popular(desk):
    slate = new_slate(HOUR)
    desk.serve(replace(slate, deliveries=(replace(slate.deliveries[0], item_id="lucky"),)))
    desk.happen(slate, 1, "click", HOUR + 1)
    click_through(desk, {1: 30, 2: 4, 3: 1}, n=200)
    catalogue = SqliteCatalogueStore(desk.directory / "catalogue.db")
    catalogue.put([Item(item_id) for item_id in ("lucky", "i2", "i1", "i0")])
    shelf = ShelfLoader(["home"], catalogue, desk.store)(None)
    assert [item.item_id for item in shelf.best("home", 4, [], None)[0]] == ["i0", "lucky", "i1", "i2"]
    assert np.sum([seen for seen, _ in counts(desk).values()]) == 601
