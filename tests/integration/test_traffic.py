"""Unwanted traffic over real HTTP: what is marked, with which reason, and that all of it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omakase.core.accounting import DELIVERIES, EVENTS
from tests.integration.stage import Stage, until
from tests.integration.till import Till

MakeTill = Callable[..., Till]


@pytest.fixture
def open_till(tmp_path: Path) -> Iterator[MakeTill]:
    tills: list[Till] = []
    with Stage() as stage:

        def make(traffic: str, **settings: Any) -> Till:
            tills.append(Till(stage, tmp_path, more=f"traffic: {{{traffic}}}\n", **settings))
            return tills[-1]

        yield make
        for till in tills:
            till.close()


def reasons(till: Till, *kinds: str) -> list[str]:
    return [event.unwanted for event in till.events(*(kinds or ("impression", "click")))]


def test_a_bot_is_known_by_its_name_and_its_deliveries_are_excluded_and_counted(open_till: MakeTill) -> None:
    till = open_till("bots: [Crawler]")
    slate, other = till.record(till.slate()), till.record(till.slate())
    till.happen(slate, 1, "impression", **{"User-Agent": "Mozilla/5.0 (compatible; SomeCRAWLER/2.1)"})
    till.happen(slate, 1, "click", **{"User-Agent": "Mozilla/5.0 (Linux)"})
    till.happen(other, 1, "impression")
    assert reasons(till) == ["bot", "", ""]
    assert [event.delivery is not None for event in till.events("impression", "click")] == [True] * 3
    tally = till.tally()
    assert (tally[DELIVERIES, "excluded"], tally[EVENTS, "excluded"], tally[EVENTS, "used"]) == (1, 2, 1)
    assert tally[DELIVERIES, "learnt_without_click"] == 1
    assert 'omakase_events_unwanted_total{reason="bot"}' in till.send("GET", "/metrics")[2].decode()


def test_a_click_sooner_than_anybody_can_is_too_fast_even_before_its_record_is_there(open_till: MakeTill) -> None:
    till = open_till("min_click_delay_s: 0.5")
    early, unrecorded, fine = till.record(till.slate()), till.slate(), till.record(till.slate())
    till.later(0.4)
    for slate in (early, unrecorded):
        till.happen(slate, 1, "impression", "click")
    till.record(unrecorded)
    until(lambda: till.stores.deliveries.waiting() == 0, "the parked events are joined")
    till.later(0.2)
    till.happen(fine, 1, "impression", "click")
    assert reasons(till, "click") == ["too_fast", "too_fast", ""]
    assert reasons(till, "impression") == ["", "", ""]


def test_what_a_user_does_beyond_the_limit_is_unwanted_and_what_came_before_it_stays(open_till: MakeTill) -> None:
    till = open_till("max_events_per_minute_of_user: 3")
    slates = [till.record(till.slate()) for _ in range(5)]
    for slate in slates:
        till.happen(slate, 1, "impression")
    till.happen(till.record(till.slate(user="somebody else")), 1, "impression")
    assert reasons(till) == ["", "", "", "user_rate", "user_rate", ""]
    till.later(121)
    till.happen(slates[0], 2, "impression")
    assert reasons(till)[-1] == ""


def test_events_that_wait_for_their_record_are_judged_by_user_when_it_comes(open_till: MakeTill) -> None:
    till = open_till("max_events_per_minute_of_user: 1")
    slate, by_server = till.slate(), till.slate()
    till.happen(slate, 1, "impression", "click")
    till.happen(by_server, 1, "impression", "click", **till.server())
    till.record(slate)
    till.record(by_server)
    until(lambda: till.stores.deliveries.waiting() == 0, "the parked events are joined")
    marked = {(event.request_id, event.unwanted) for event in till.events("impression", "click")}
    assert marked == {(slate.request_id, ""), (slate.request_id, "user_rate"), (by_server.request_id, "")}


def test_an_address_beyond_its_limit_is_unwanted_whoever_it_says_it_speaks_for(open_till: MakeTill) -> None:
    till = open_till("max_events_per_minute_of_address: 3")
    for n in range(3):
        header = {"X-Forwarded-For": f"10.0.0.{n}"}
        till.happen(till.record(till.slate(user=f"u{n}")), 1, "impression", "click", **header)
    assert reasons(till) == ["", "", "", "address_rate", "address_rate", "address_rate"]


def test_behind_a_trusted_proxy_the_address_is_the_last_one_that_it_names(open_till: MakeTill) -> None:
    till = open_till("max_events_per_minute_of_address: 2", address_header="X-Forwarded-For")
    for n in range(3):
        header = {"X-Forwarded-For": f"6.6.6.{n}, 10.0.0.{n // 2}"}
        till.happen(till.record(till.slate()), 1, "impression", "click", **header)
    assert reasons(till) == ["", "", "address_rate", "address_rate", "", ""]


def test_behind_two_proxies_the_address_is_what_the_first_of_them_saw(open_till: MakeTill) -> None:
    till = open_till("max_events_per_minute_of_address: 2", address_header="X-Forwarded-For", address_proxies=2)
    for n in range(3):
        header = {"X-Forwarded-For": f"6.6.6.{n}, 10.0.0.{n // 2}, 192.0.2.1"}
        till.happen(till.record(till.slate()), 1, "impression", "click", **header)
    assert reasons(till) == ["", "", "address_rate", "address_rate", "", ""]


def test_the_shop_s_own_server_is_not_judged(open_till: MakeTill) -> None:
    till = open_till(
        "bots: [python], min_click_delay_s: 1, max_events_per_minute_of_user: 1, max_events_per_minute_of_address: 1"
    )
    slates = [till.record(till.slate()) for _ in range(3)]
    for slate in slates:
        till.happen(slate, 1, "impression", "click", **till.server(), **{"User-Agent": "python"})
    assert set(reasons(till)) == {""}


def test_the_pixel_is_judged_too_and_sets_no_value(open_till: MakeTill) -> None:
    till = open_till("min_click_delay_s: 1, max_events_per_minute_of_address: 1")
    slate = till.record(till.slate())
    for kind in ("click", "impression"):
        path = f"/v1/pixel.gif?d={slate.deliveries[0].delivery_id}&t={kind}"
        assert till.send("GET", path)[0] == 200
    assert reasons(till) == ["too_fast", "address_rate"]
    status, _, body = till.send("GET", path.replace("impression", "conversion"))
    assert (status, b"event_id_missing" in body) == (422, True)


def test_an_unwanted_click_earns_no_order(open_till: MakeTill) -> None:
    till = open_till("bots: [bot]")
    seen, clicked = till.record(till.slate()), till.record(till.slate())
    till.happen(seen, 1, "impression")
    till.happen(clicked, 1, "click", **{"User-Agent": "a bot"})
    till.sell()
    till.settle()
    assert [event.request_id for event in till.events("conversion")] == [seen.request_id]


def test_no_address_and_no_browser_s_name_is_stored(open_till: MakeTill, tmp_path: Path) -> None:
    till = open_till("max_events_per_minute_of_address: 1", address_header="X-Forwarded-For")
    headers = {"X-Forwarded-For": "203.0.113.77", "User-Agent": "RareBrowser/1"}
    till.happen(till.record(till.slate()), 1, "impression", "click", **headers)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert (b"203.0.113.77" in kept, b"RareBrowser" in kept) == (False, False)
