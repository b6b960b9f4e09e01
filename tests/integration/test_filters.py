"""A request's filter: the same items from the recommender and from the fallback."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omakase.core.catalogue import Item
from tests.integration.stage import RunningGateway, Shop, until

SHOWN = {
    '{"colour": "red"}': ["i3", "i5", "i7"],
    '{"colour": ["red", "blue"], "price": [4, 5, 1]}': ["i4", "i5"],
    '{"colour": "red", "price": 4}': [],
    '{"colour": "green"}': [],
    '{"colour": []}': [],
    '{"tags": ["sale", "old"]}': ["t1", "t2"],
    '{"new": true}': ["t2"],
    '{"price": "4"}': [],
}


@pytest.fixture
def asked(shop: Shop, gateway: RunningGateway) -> RunningGateway:
    shop.catalogue.put([Item("t1", {"tags": ("new", "sale")}), Item("t2", {"tags": "old", "new": True})])
    # The filter itself says when both, recommender and gateway, have seen the change.
    until(lambda: send(gateway, {"tags": "old"})[0] == 200, "the catalogue is served")
    return gateway


def send(gateway: RunningGateway, filters: Any, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {"placement": "home-end", "user_id": "u1", "limit": 10, "filter": filters, **fields}
    status, _, answer = gateway.send("POST", "/v1/recommendations", json.dumps(body).encode())
    return status, json.loads(answer)


def shown(gateway: RunningGateway, filters: Any, *, fallback: bool, **fields: Any) -> list[str]:
    status, answer = send(gateway, filters, **fields)
    assert (status, answer["fallback"]) == (200, fallback)
    return sorted(item["item_id"] for item in answer["items"])


@pytest.mark.parametrize("is_fallback", [False, True])
def test_only_items_that_pass_are_shown_whoever_ranks(asked: RunningGateway, recommender, is_fallback: bool) -> None:
    if is_fallback:
        recommender.stop()
        until(lambda: send(asked, {"tags": "old"})[1].get("items", []) != [], "the fallback has seen the change")
    few = {"candidates": [*(f"i{n}" for n in range(9)), "t1", "t2"]}
    for filters, expected in SHOWN.items():
        assert shown(asked, json.loads(filters), fallback=is_fallback, **few) == expected, filters
    assert shown(asked, {"colour": "red"}, fallback=is_fallback, exclude=["i5"], **few) == ["i3", "i7"]
    status, answer = send(asked, {"color": "red"})
    assert (status, answer["detail"]) == (422, "filter: no item has the fact 'color'; did you mean 'colour'?")


def test_what_the_filter_leaves_out_is_not_ignored_but_what_cannot_be_shown_is(asked: RunningGateway) -> None:
    _, answer = send(asked, {"colour": "red"}, candidates=["i1", "i3", "i4"])
    assert answer["ignored"] == ["i1"]


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        ([], "should be an object"),
        ({"colour": None}, "must be text, a number"),
        ({"colour": {"not": "red"}}, "must be text, a number"),
        ({"colour": ["red", 1]}, "must be text, a number"),
        ({"": "red"}, "at least 1 character"),
        ({"colour": "x" * 1025}, "at most 1024"),
        ({"colour": ["x"] * 1001}, "at most 1000"),
        ({f"f{n}": "x" for n in range(17)}, "at most 16"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(gateway: RunningGateway, filters: Any, told: str) -> None:
    status, answer = send(gateway, filters)
    assert status == 422
    assert told in json.dumps(answer)
