"""Records as rows of the warehouse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omakase.core.events import Event, Joined
from omakase.core.ids import text_of
from omakase.core.propensities import Propensities, SlatePropensities
from omakase.core.tables import TABLES, hour_of
from omakase.rows import delivery_rows, event_row, propensity_rows
from omakase.wire import decode_factor
from tests.integration.stage import START
from tests.integration.test_tracking import new_slate


@pytest.mark.parametrize(
    ("at", "hour"),
    [(0.0, 0), (3599.999, 0), (3600.0, 3600), (START, 1_759_999_200 - 1_759_999_200 % 3600), (-1.0, -3600)],
)
def test_an_hour_starts_on_the_hour(at, hour):
    assert hour_of(at) == hour


def test_a_slate_is_a_row_for_each_delivery_with_all_that_was_served():
    slate = replace(new_slate(), context={"b": 1.0, "a": ("x", "y")})
    rows = delivery_rows(slate)
    assert [(row["position"], row["item_id"]) for row in rows] == [(1, "i0"), (2, "i1"), (3, "i2")]
    assert all(row.keys() == TABLES["deliveries"].keys() for row in rows)
    assert rows[0]["context"] == '{"a":["x","y"],"b":1.0}'
    assert rows[0]["metadata"] == '{"price":9.5}'
    assert decode_factor(bytes(rows[2]["item_factor"])).tolist() == [1.0, 2.0]  # type: ignore[arg-type]
    assert rows[0]["request_id"] == text_of(slate.request_id)


def test_an_event_brings_its_delivery_s_names_or_none():
    slate = new_slate()
    orphan = Event(b"r" * 16, slate.request_id, 2, "click", START + 3600, value=2.0, event_id="e")
    row = event_row(orphan)
    assert row.keys() == TABLES["events"].keys()
    assert (row["item_id"], row["variant"], row["hour"]) == (None, None, hour_of(START) + 3600)
    row = event_row(replace(orphan, delivery=Joined.of(slate, 2)))
    assert (row["item_id"], row["variant"], row["placement"], row["unit"]) == ("i1", "learnt", "home", "unit")


def test_propensities_are_a_row_for_each_position_in_the_hour_of_their_slate():
    slate = new_slate()
    counted = Propensities(
        np.array([1.0, 0.4, 1 / 65]), np.array([0, 10, 64]), np.array([0, 4, 0]), np.array([False, False, True])
    )
    rows = propensity_rows(SlatePropensities(slate.request_id, counted))
    assert all(row.keys() == TABLES["propensities"].keys() for row in rows)
    assert {(row["hour"], row["request_id"]) for row in rows} == {(hour_of(START), text_of(slate.request_id))}
    assert [(row["position"], row["propensity"], row["draws"], row["occurrences"]) for row in rows] == [
        (1, 1.0, 0, 0),
        (2, 0.4, 10, 4),
        (3, 1 / 65, 64, 0),
    ]
    assert [(row["is_exact"], row["is_capped"]) for row in rows] == [(True, False), (False, False), (False, True)]
