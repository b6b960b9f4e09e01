from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from omakase.adapters.local.clock import MappedClock
from omakase.config import parse_product
from omakase.core.catalogue import Catalogue, Item
from omakase.core.ids import NOBODY, Keyring
from recommender.bundle import Bundle, Rules
from recommender.ranking import Query, Ranker

PRODUCT = parse_product(
    """
placements: {home: {time_zone: Europe/Zurich, variants: {all: {share: 10000, policy: chance}}}}
policies: {chance: {type: uniform}}
"""
)
BUNDLE = Bundle.of(Rules.of(PRODUCT), Catalogue(tuple(Item(f"i{i}") for i in range(30))), {}, {})
QUERY = Query("home", "all", "chance", "", NOBODY, NOBODY, {}, 5, [], None, personalise=True)


def ranker(directory: Path, at: datetime, seed: int = 1) -> Ranker:
    return Ranker(
        Keyring({1: b"k" * 16}, 1, b"p" * 16),
        MappedClock.create(directory / f"clock-{at.timestamp()}", at.timestamp()),
        np.random.default_rng(seed),
        random_bytes=lambda n: b"r" * n,
    )


NOON = datetime(2026, 7, 1, 10, tzinfo=UTC)


def test_the_same_seed_and_time_make_the_same_slate(tmp_path):
    first, second, other = (ranker(tmp_path, NOON, seed).answer(BUNDLE, QUERY).slate for seed in (1, 1, 2))
    assert [d.delivery_id for d in first.deliveries] == [d.delivery_id for d in second.deliveries]
    assert [d.item_id for d in first.deliveries] == [d.item_id for d in second.deliveries]
    assert [d.item_id for d in first.deliveries] != [d.item_id for d in other.deliveries]


@pytest.mark.parametrize(
    ("at", "hour", "weekday"),
    [
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), 1.0, 6.0),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), 3.0, 6.0),  # summer time begins: there is no 2 o'clock
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), 2.0, 6.0),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), 2.0, 6.0),  # and ends: 2 o'clock comes twice
        (datetime(2026, 12, 31, 23, 30, tzinfo=UTC), 0.0, 4.0),  # already Friday in Zurich
    ],
)
def test_hour_and_weekday_are_those_of_the_placement(tmp_path, at, hour, weekday):
    slate = ranker(tmp_path, at).answer(BUNDLE, QUERY).slate
    assert slate.context == {"hour": hour, "weekday": weekday}


def test_a_slate_is_as_long_as_there_are_eligible_items(tmp_path):
    few = replace(QUERY, candidates=["i1", "i2"], exclude=["i2"])
    answer = ranker(tmp_path, NOON).answer(BUNDLE, few)
    slate, ignored = answer.slate, answer.ignored
    assert [(d.position, d.item_id, d.propensity) for d in slate.deliveries] == [(1, "i1", 1.0)]
    assert ignored == []
