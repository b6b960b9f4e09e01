"""What tracking takes while the configuration changes; the file itself is followed in test_supervisor_following."""

from __future__ import annotations

from typing import Any

import pytest

from omakase.config import parse_product
from tests.integration.stage import Stage, until
from tests.integration.till import PRODUCT, Till

RECENT = """{item: [{type: embedding, name: style, dimensions: 2}],
  context: [{type: recent, name: likes, of: style, dimensions: 2}]}"""


@pytest.fixture
def follow(stage: Stage, till: Till) -> Any:
    """Put the configuration in force with these replaced, and the keys that come last."""

    def change(*pairs: tuple[str, str], more: str = "") -> None:
        text = PRODUCT
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        product = parse_product(text + more)

        async def take() -> None:
            till.service.follow(product)

        stage.run(take())

    return change


def rejection(till: Till, kind: str) -> str:
    """Why an event is rejected; empty if it is not."""
    shown = {"delivery_id": till.slate().deliveries[0].delivery_id, "type": kind, "event_id": "e"}
    rejected = till.post("/v1/events", {"events": [shown]})[1]["rejected"]
    return str(rejected[0]["reason"]) if rejected else ""


def refusal(till: Till, **more: Any) -> str:
    """Why an order line is rejected; empty if it is not."""
    line = {"user_id": "u", "item_id": "shoe", "order_id": "o", "value": 8.0, "currency": "CHF"}
    line |= {"occurred_at": till.clock.now()} | more
    rejected = till.post("/v1/conversions", line, till.server())[1]["rejected"]
    return str(rejected[0]["reason"]) if rejected else ""


def test_event_types_come_and_go(till, follow):
    assert (rejection(till, "like"), rejection(till, "wish")) == ("", "unknown_type")
    follow(("event_types: [like]", "event_types: [wish]"))
    assert (rejection(till, "like"), rejection(till, "wish")) == ("unknown_type", "")


def test_a_shorter_reward_window_expires_ids_and_records(till, follow):
    old = till.record(till.slate())
    till.later(500.0)
    follow(("reward_window_s: 1000", "reward_window_s: 400"))
    sent = {"delivery_id": old.deliveries[0].delivery_id, "type": "click"}
    assert till.post("/v1/events", {"events": [sent]})[1]["rejected"][0]["reason"] == "delivery_id_expired"
    till.later(61.0)
    until(lambda: not till.stores.deliveries.find([old.request_id]), "the record is gone")


def test_currency_and_attribution_window_of_orders(till, follow):
    assert refusal(till, occurred_at=till.clock.now() - 5000.0) == ""
    follow(("attribution_window_s: 10000", "attribution_window_s: 1000"), more="currency: EUR\n")
    assert refusal(till) == "currency_unknown"
    assert refusal(till, currency="EUR", occurred_at=till.clock.now() - 5000.0) == "occurred_at_out_of_range"
    assert refusal(till, currency="EUR") == ""


def test_traffic_limits_are_those_of_now_and_what_was_counted_counts(till, follow):
    follow(more="traffic: {max_events_per_minute_of_user: 2}\n")
    slate = till.record(till.slate())
    till.happen(slate, 1, "impression", "click")
    follow(more="traffic: {max_events_per_minute_of_user: 3}\n")
    till.happen(slate, 2, "impression", "click")
    follow()
    till.happen(slate, 2, "impression")
    assert [event.unwanted for event in till.events("impression", "click")] == ["", "", "", "user_rate", ""]


def test_clicks_are_noted_from_when_a_feature_asks_for_them(till, follow):
    slate = till.record(till.slate())
    till.service.recent.start()
    till.happen(slate, 1, "click")
    follow(("{item: [{type: numeric, name: price}]}", RECENT))
    till.happen(slate, 2, "click")
    until(lambda: noted(till, slate.user) == ["hat"], "the later one is known")
    till.service.recent.stop()


def noted(till: Till, user: Any) -> list[str]:
    known = till.stores.contexts.find([user]).get(user)
    return [] if known is None else list(known.clicked)
