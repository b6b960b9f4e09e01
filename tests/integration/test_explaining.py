"""A slate explained: over HTTP, by a recommender that has learnt."""

from __future__ import annotations

import json
from typing import Any

from omakase.core.catalogue import Item
from tests.integration.stage import RunningGateway, Shop, until

BODY = {"placement": "home-end", "user_id": "u1", "limit": 3, "context": {"device": "ios"}}


def send(gateway: RunningGateway, query: str = "?explain=true", **fields: Any) -> dict[str, Any]:
    status, _, answer = gateway.send("POST", f"/v1/recommendations{query}", json.dumps({**BODY, **fields}).encode())
    assert status == 200, answer
    return json.loads(answer)


def test_each_item_says_why_it_stands_where_it_does(shop: Shop, gateway: RunningGateway) -> None:
    version = shop.version(shop.publish())
    until(lambda: send(gateway, "")["model_version"] == version, "the learnt model is served")
    answer = send(gateway)
    for item in answer["items"]:
        explanation = item["explanation"]
        assert explanation["draw"] == item["score"]
        assert explanation["deviation"] > 0
        assert 0.8 < explanation["mean"] < 1.2  # red is always clicked
        assert {"colour=red", "device=ios × colour=red"} <= {one["feature"] for one in explanation["contributions"]}
        assert 1 <= explanation["place_by_mean"] <= 18
        assert f"{explanation['place_by_mean']} of 18" in explanation["reason"] or "leaves it" in explanation["reason"]


def test_what_could_not_be_shown_is_told_with_its_reason(shop: Shop, gateway: RunningGateway) -> None:
    shop.catalogue.put([Item("odd", {"colour": "red", "price": "dear"})])
    until(lambda: sum(send(gateway)["excluded"]["counts"].values()) == 3, "the new item was seen")
    few = {"candidates": ["i0", "i1", "i2", "i3", "i4", "i5", "odd"], "exclude": ["i5"], "filter": {"colour": "blue"}}
    excluded = send(gateway, **few)["excluded"]
    assert excluded["counts"] == {
        "its metadata does not fit the model's features": 1,
        "sold out": 1,
        "hidden": 1,
        "not among the candidates": 14,
        "excluded by the request": 1,
        "filtered out": 1,
    }
    reasons = {one["item_id"]: one["reason"] for one in excluded["items"]}
    assert reasons["i1"] == "sold out"
    assert reasons["i2"] == "hidden"
    assert reasons["i3"] == "filtered out"
    assert reasons["i5"] == "excluded by the request"
    assert reasons["odd"] == "its metadata does not fit the model's features"


def test_nothing_is_explained_unasked(gateway: RunningGateway) -> None:
    answer = send(gateway, "")
    assert "excluded" not in answer
    assert not any("explanation" in item for item in answer["items"])
