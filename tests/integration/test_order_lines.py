"""What tracking says to order systems that send something wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.stage import START, Stage
from tests.integration.till import Till


def test_nobody_without_a_server_key_sells_anything(till: Till) -> None:
    line = {"user_id": "u1", "item_id": "shoe", "order_id": "o1", "value": 1, "currency": "CHF", "occurred_at": START}
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": f"Basic {till.key}"}):
        status, problem = till.post("/v1/conversions", line, headers)
        assert (status, problem["title"]) == (401, "Unauthorized")
    assert till.stores.orders.waiting() == 0
    slate = till.record(till.slate())
    event = {"delivery_id": slate.deliveries[0].delivery_id, "type": "conversion", "event_id": "e", "value": 5.0}
    assert till.post("/v1/events", {"events": [event]}, {"Authorization": "Bearer nonsense"})[0] == 401
    assert till.post("/v1/events", {"events": [event]}, till.server())[1]["accepted"] == 1
    assert [event.value for event in till.events("conversion")] == [5.0]


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"user_id": None}, "malformed", "send user_id or anonymous_id, or both"),
        ({"order_id": None}, "malformed", "order_id: is required"),
        ({"order_id": ""}, "malformed", "order_id: must be text of 1 to 256 characters"),
        ({"value": None}, "malformed", "a conversion needs its value"),
        ({"value": -1}, "malformed", "value: must be a number from 0 to"),
        ({"value": "9"}, "malformed", "value: must be a number from 0 to"),
        ({"currency": "franc"}, "malformed", "currency: must be three capital letters"),
        ({"currency": "EUR"}, "currency_unknown", "amounts are in CHF here"),
        ({"type": "refund"}, "malformed", "type: must be conversion or return"),
        ({"occurred_at": START * 1000}, "malformed", "occurred_at: must be a date as text"),
        ({"occurred_at": START - 10_001}, "occurred_at_out_of_range", "within the last 10000 s"),
        ({"occurred_at": START + 301}, "occurred_at_out_of_range", "within the last 10000 s"),
        ({"itemid": "x"}, "malformed", "itemid: is not a field; did you mean 'item_id'?"),
    ],
)
def test_says_what_is_wrong_with_an_order_and_takes_the_others(
    stage: Stage, tmp_path: Path, changes: dict[str, Any], reason: str, words: str
) -> None:
    till = Till(stage, tmp_path, more="currency: CHF\n")
    line = {"user_id": "u1", "item_id": "shoe", "order_id": "o1", "value": 1, "currency": "CHF", "occurred_at": START}
    wrong = {name: value for name, value in {**line, **changes}.items() if value is not None}
    status, answer = till.post("/v1/conversions", {"conversions": [line, wrong, 7]}, till.server())
    assert (status, answer["accepted"]) == (202, 1)
    rejected, other = answer["rejected"]
    assert (rejected["index"], rejected["reason"], words in rejected["detail"]) == (1, reason, True), rejected
    assert other["detail"] == "an order line must be an object"
    assert till.stores.orders.waiting() == 1
    till.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [([], 400), ({"conversions": {}}, 400), ({"conversions": [], "more": 1}, 400), ({"conversions": [{}] * 1001}, 422)],
)
def test_refuses_a_body_that_is_no_list_of_orders(till: Till, body: Any, status: int) -> None:
    assert till.post("/v1/conversions", body, till.server())[0] == status
