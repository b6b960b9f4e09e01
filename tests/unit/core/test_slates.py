"""Slates and the events that are joined to them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from omakase.core.errors import InvalidInput
from omakase.core.events import MAX_VALUE, Event, Joined
from omakase.core.ids import NOBODY, DeliveryId, Keyring, Pseudonym, new_request_id
from omakase.core.slates import Slate, anonymous
from tests.slates import Ranked, stamp

NOW = 1_700_000_000.0
REQUEST = new_request_id(NOW, bytes)
RING = Keyring({1: b"k" * 32}, 1, b"p" * 32)


def ranked(item_id: str, predicted_click: float | None = None, value: float | None = None) -> Ranked:
    return Ranked(item_id, 0.5, np.array([1.0, 2.0], dtype=np.float32), {"price": 3.0}, predicted_click, value)


def slate(n: int = 2) -> Slate:
    return Slate(
        request_id=REQUEST,
        served_at=NOW,
        placement="home",
        variant="learnt",
        policy="ts",
        model="m/abc",
        model_version="7",
        catalogue_generation=3,
        unit=Pseudonym("who"),
        user=Pseudonym("user"),
        context={"device": "ios"},
        context_factor=np.array([0.5], dtype=np.float32),
        deliveries=stamp([ranked(f"i{i}") for i in range(n)], REQUEST, RING),
    )


def test_stamping_counts_positions_from_one_and_each_id_leads_back() -> None:
    deliveries = stamp([ranked("a"), ranked("b")], REQUEST, RING)
    assert [(d.position, d.item_id) for d in deliveries] == [(1, "a"), (2, "b")]
    assert [RING.verify(d.delivery_id, NOW, 60) for d in deliveries] == [DeliveryId(REQUEST, 1), DeliveryId(REQUEST, 2)]


@pytest.mark.parametrize(
    ("predicted_click", "value", "expected"), [(0.1, 20.0, 2.0), (None, 20.0, None), (0.1, None, None), (0.0, 5.0, 0.0)]
)
def test_the_expected_value_needs_both_a_prediction_and_a_value(predicted_click, value, expected) -> None:
    (delivery,) = stamp([ranked("a", predicted_click, value)], REQUEST, RING)
    assert delivery.expected_value == expected


def test_a_slate_has_no_more_positions_than_an_id_can_name() -> None:
    assert len(slate(255).deliveries) == 255
    with pytest.raises(InvalidInput, match="255"):
        replace(slate(1), deliveries=tuple(slate(1).deliveries) * 256)


def test_an_anonymous_slate_holds_nothing_of_a_person_and_all_that_is_learnt() -> None:
    bare = anonymous(slate())
    assert (bare.unit, bare.user, bare.context) == (NOBODY, NOBODY, {})
    assert bare.context_factor is slate().context_factor or bare.context_factor.tolist() == [0.5]
    assert len(bare.deliveries) == 2


def test_an_event_is_joined_to_its_own_position() -> None:
    joined = Joined.of(slate(), 2)
    assert (joined.item_id, joined.model, joined.unit) == ("i1", "m/abc", "who")
    for position in (0, 3, -1):
        with pytest.raises(InvalidInput, match="positions"):
            Joined.of(slate(), position)


@pytest.mark.parametrize(
    ("value", "received_at"), [(math.nan, 0.0), (math.inf, 0.0), (MAX_VALUE * 2, 0.0), (1.0, math.nan)]
)
def test_an_event_with_an_impossible_number_is_refused(value: float, received_at: float) -> None:
    with pytest.raises(InvalidInput):
        Event(bytes(16), REQUEST, 1, "click", received_at, value)
