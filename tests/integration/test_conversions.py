"""Orders from the shop's own system, attributed to what was seen and clicked, over real stores and real HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omakase.core.accounting import EVENTS
from omakase.core.errors import Unavailable
from omakase.ports.orders import Credit
from tests.integration.stage import START, Stage, until
from tests.integration.till import WAIT_S, Till


def ends(till: Till) -> dict[str, int]:
    return {end: n for (side, end), n in till.tally().items() if side == EVENTS}


def test_an_order_goes_to_the_last_click_of_its_item_and_is_learnt(till: Till) -> None:
    first, second, third = (till.record(till.slate()) for _ in range(3))
    for slate in (first, second, third):
        till.later(1)
        till.happen(slate, 1, "impression")
    till.happen(first, 1, "click")
    till.later(1)
    till.happen(second, 1, "click")
    till.happen(second, 2, "click")
    till.later(10)
    till.sell(value=80.0)
    assert till.events("conversion") == []  # a click may still be on its way
    till.settle()
    (event,) = till.events("conversion")
    assert (event.request_id, event.position, event.value) == (second.request_id, 1, 80.0)
    assert event.delivery is not None
    assert (event.delivery.model, event.delivery.item_id) == ("clicks/abc", "shoe")
    assert ends(till) == {"received": 7, "used": 6, "corrected_late": 1}


def test_without_a_click_an_order_goes_to_the_last_impression(till: Till) -> None:
    first, second = (till.record(till.slate()) for _ in range(2))
    till.happen(first, 1, "impression")
    till.later(1)
    till.happen(second, 1, "impression")
    till.sell()
    till.settle()
    assert [event.request_id for event in till.events("conversion")] == [second.request_id]


def test_people_are_found_by_user_id_and_by_anonymous_id(till: Till) -> None:
    visitor = till.record(till.slate(user="", anonymous="a1"))
    member = till.record(till.slate(user="u2", anonymous="a2"))
    for slate in (visitor, member):
        till.happen(slate, 1, "click")
    for order, who in enumerate(({"anonymous_id": "a1"}, {"user_id": "u2"}, {"anonymous_id": "a2"}, {"user_id": "a1"})):
        line = {"item_id": "shoe", "order_id": f"o{order}", "value": 1, "currency": "CHF", "occurred_at": START}
        assert till.post("/v1/conversions", {**line, **who}, till.server())[1]["accepted"] == 1
        till.later(1)
    till.settle()
    found = [event.request_id for event in till.events("conversion") if event.position]
    assert found == [visitor.request_id, member.request_id, member.request_id]
    assert ends(till)["unattributed"] == 1


def test_an_order_of_which_nothing_is_known_ends_as_unattributed(till: Till) -> None:
    slate = till.record(till.slate())
    till.happen(slate, 1, "click")
    till.sell(item="coat", order="other item")
    till.sell(user="somebody", order="other person")
    till.later(1001)
    till.sell(order="too early", occurred_at=START - 200)
    till.settle()
    events = till.events("conversion")
    assert [(event.position, event.delivery) for event in events] == [(0, None)] * 3
    assert len({event.request_id for event in events}) == 3
    assert ends(till)["unattributed"] == 3


def test_a_click_older_than_the_attribution_window_earns_nothing(till: Till) -> None:
    slate = till.record(till.slate())
    till.happen(slate, 1, "click")
    till.later(9_999)
    till.sell(order="just in time")
    till.later(2)
    till.sell(order="too late")
    till.settle()
    assert [event.position for event in till.events("conversion")] == [1, 0]


def test_an_order_told_late_finds_the_touches_that_it_would_have_found_at_once(till: Till) -> None:
    slate = till.record(till.slate())
    till.happen(slate, 1, "click")
    till.later(9_990)
    bought_at = till.clock.now()
    till.later(9_990)
    while till.service.desk.expire():
        pass
    till.sell(occurred_at=bought_at)
    till.settle()
    (event,) = till.events("conversion")
    assert (event.request_id, event.position, event.occurred_at) == (slate.request_id, 1, bought_at)


def test_a_click_after_the_order_has_no_part_in_it(till: Till) -> None:
    before, after = (till.record(till.slate()) for _ in range(2))
    till.happen(before, 1, "impression")
    bought_at = till.clock.now()
    till.later(120)
    till.happen(after, 1, "click")
    till.sell(occurred_at=bought_at)
    till.settle()
    assert [event.request_id for event in till.events("conversion")] == [before.request_id]


def test_a_line_told_twice_counts_once_whatever_was_clicked_in_between(till: Till) -> None:
    first, second = (till.record(till.slate()) for _ in range(2))
    till.happen(first, 1, "click")
    till.sell()
    till.settle()
    till.happen(second, 1, "click")
    till.sell()
    till.sell()
    till.settle()
    assert [event.request_id for event in till.events("conversion")] == [first.request_id] * 3
    assert len({event.event_id for event in till.events("conversion")}) == 1
    assert ends(till)["duplicate"] == 2


def test_a_return_takes_back_its_conversion_though_another_slate_was_clicked_since(till: Till) -> None:
    first, second = (till.record(till.slate()) for _ in range(2))
    till.happen(first, 1, "click")
    till.sell(value=80.0)
    till.settle()
    till.happen(second, 1, "click")
    till.sell(type="return", value=30.0)
    till.settle()
    sold, returned = till.events("conversion", "return")
    assert (returned.request_id, returned.position, returned.event_id) == (first.request_id, 1, sold.event_id)
    rewards = till.product.reward_tables()["home"].outcomes([sold, returned], "clicks/abc")
    assert rewards["reward"] == pytest.approx(5.0)


def test_a_return_of_what_was_never_sold_is_unattributed_and_does_not_spoil_the_sale(till: Till) -> None:
    slate = till.record(till.slate())
    till.happen(slate, 1, "click")
    till.sell(type="return", value=None)
    till.settle()
    till.sell()
    till.settle()
    returned, sold = till.events("return", "conversion")
    assert (returned.position, sold.position) == (0, 1)


def test_an_order_waits_for_a_click_whose_delivery_record_is_still_on_its_way(till: Till) -> None:
    slate = till.slate()
    till.happen(slate, 1, "click")
    till.sell()
    till.later(WAIT_S - 1)
    assert till.service.desk.settle() == 0
    assert (till.stores.orders.waiting(), till.stores.deliveries.waiting()) == (1, 1)
    till.record(slate)
    until(lambda: till.stores.deliveries.waiting() == 0, "the click is joined")
    till.later(2)
    assert till.service.desk.settle() == 1
    assert [event.request_id for event in till.events("conversion")] == [slate.request_id]
    assert till.stores.orders.waiting() == 0


def test_orders_survive_a_restart_and_are_attributed_after_it(stage: Stage, tmp_path: Path) -> None:
    till = Till(stage, tmp_path)
    slate = till.slate()
    till.happen(slate, 1, "click")
    till.sell()
    till.close()
    till.later(5 * WAIT_S)
    again = Till(stage, tmp_path)
    again.later(WAIT_S - 1)
    assert again.service.desk.settle() == 0  # what happened before the restart may be on its way
    again.record(slate)
    until(lambda: again.stores.deliveries.waiting() == 0, "the click is joined")
    again.settle()
    assert [event.request_id for event in again.events("conversion")] == [slate.request_id]
    again.close()


def test_a_round_that_died_after_its_decision_publishes_what_it_had_decided_and_once(till: Till) -> None:
    first, second = (till.record(till.slate()) for _ in range(2))
    till.happen(first, 1, "click")
    till.sell()
    till.later(WAIT_S + 1)
    (order,) = till.stores.orders.due(float("inf"), 10)
    desk = till.service.desk
    publish, till.stores.bus.publish = till.stores.bus.publish, cut  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        desk.settle()
    till.stores.bus.publish = publish  # type: ignore[method-assign]
    till.happen(second, 1, "click")  # as if it had come late, before the order
    touch = till.stores.touches.of(order.people, 0, 1e12, 1)[0]
    till.stores.touches.note([replace(touch, at=order.occurred_at)])
    assert desk.settle() == 1
    till.stores.orders.keep([order])  # and as if it had died before it could forget the order
    assert desk.settle() == 1
    assert [event.request_id for event in till.events("conversion")] == [first.request_id]


def cut(_: Any) -> None:
    raise Unavailable("the bus is cut")


def test_two_desks_that_decide_at_once_send_an_order_to_the_same_delivery(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (till.record(till.slate()) for _ in range(2))
    till.happen(first, 1, "click")
    till.sell()
    till.later(WAIT_S + 1)
    credits, put = till.stores.credits, till.stores.credits.put

    def put_second(ours: Sequence[Credit]) -> None:
        """The other desk, which has seen another click last, is faster."""
        put([replace(credit, request_id=second.request_id) for credit in ours])
        put(ours)

    monkeypatch.setattr(credits, "put", put_second)
    assert till.service.desk.settle() == 1
    assert [event.request_id for event in till.events("conversion")] == [second.request_id]


def test_an_order_after_the_reward_window_is_reported_with_its_slate_and_not_learnt(till: Till) -> None:
    slate = till.record(till.slate())
    till.happen(slate, 2, "click")
    till.later(5_000)
    while till.stores.deliveries.expire(till.clock.now() - 1_100):
        pass
    till.sell(item="hat")
    till.settle()
    (event,) = till.events("conversion")
    assert event.delivery is not None
    assert (event.delivery.model, event.delivery.context_factor.size) == ("", 0)
    told = (event.delivery.placement, event.delivery.variant, event.delivery.policy, event.delivery.item_id)
    assert told == ("home", "learnt", "thompson", "hat")
    assert (event.delivery.unit, event.delivery.served_at) == (slate.unit, START)
    assert ends(till) == {"received": 2, "used": 1, "after_window": 1}
    assert till.tally()["deliveries", "learnt"] == 1


def test_an_order_within_the_window_whose_record_has_gone_does_not_make_its_slate_untrainable(till: Till) -> None:
    slate = till.record(till.slate())
    till.happen(slate, 1, "click")
    till.sell()
    till.later(5_000)  # tracking was away for longer than it keeps records
    while till.stores.deliveries.expire(till.clock.now() - 1_100):
        pass
    till.settle()
    assert ends(till) == {"received": 2, "used": 1, "orphan_expired": 1}
    assert till.tally()["deliveries", "learnt"] == 1


def test_a_drain_attributes_what_waits_at_once(till: Till) -> None:
    slate = till.record(till.slate())
    till.happen(slate, 1, "click")
    till.sell()
    till.close()
    till.service.drain()
    assert [event.position for event in till.events("conversion")] == [1]


def test_the_desk_settles_by_itself_and_goes_on_after_a_failure(stage: Stage, tmp_path: Path) -> None:
    till = Till(stage, tmp_path)
    till.record(slate := till.slate())
    till.happen(slate, 1, "click")
    till.sell()
    till.later(WAIT_S + 1)
    publish, till.stores.bus.publish = till.stores.bus.publish, cut  # type: ignore[method-assign]
    till.service.desk.start()
    until(lambda: bool(till.stores.credits.find([order.line for order in till.stores.orders.due(1e12, 9)])), "decided")
    till.stores.bus.publish = publish  # type: ignore[method-assign]
    until(lambda: till.stores.orders.waiting() == 0, "the order is settled")
    till.service.desk.stop()
    assert [event.position for event in till.events("conversion")] == [1]
    till.close()


def test_the_raw_user_id_and_the_key_are_stored_nowhere(till: Till, tmp_path: Path) -> None:
    (tmp_path / "key").unlink()
    slate = till.record(till.slate(user="anna@example.org"))
    till.happen(slate, 1, "click")
    till.sell(user="anna@example.org")
    till.settle()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"anna@example.org" not in kept
    assert till.key.encode() not in kept


def test_no_touch_is_kept_before_somebody_can_send_orders(till: Till, tmp_path: Path) -> None:
    text = (tmp_path / "keys.yaml").read_text()
    (tmp_path / "keys.yaml").write_text(text.partition("api_keys")[0])
    until(lambda: till.post("/v1/events", {"events": []}, till.server())[0] == 401, "the key is forgotten")
    slate = till.record(till.slate())
    people = [slate.user]
    till.happen(slate, 1, "click")
    assert till.stores.touches.of(people, 0, 1e12, 10) == []
    (tmp_path / "keys.yaml").write_text(text)
    assert till.post("/v1/events", {"events": []}, till.server())[0] == 202
    till.happen(slate, 2, "click")
    assert [touch.items[0].item_id for touch in till.stores.touches.of(people, 0, 1e12, 10)] == ["hat"]


def test_its_openapi_document_names_the_route_and_stands_by_itself(till: Till) -> None:
    assert till.unresolved() == set()
