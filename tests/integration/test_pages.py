"""More than one slate: pages without repeats, slates that go on, answers that are repeated."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.stage import RunningGateway

PAGE = "/v1/recommendations:batch"


def post(gateway: RunningGateway, path: str, headers: dict[str, str] | None = None, **fields: Any) -> tuple[int, Any]:
    status, _, body = gateway.send("POST", path, json.dumps(fields).encode(), headers)
    return status, json.loads(body)


def items(slate: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in slate["items"]]


class TestPage:
    def test_shows_no_item_twice_and_records_every_slate(self, gateway, recommender):
        asked = [
            {"placement": "home-top", "limit": 5},
            {"placement": "home-end", "limit": 5},
            {"placement": "home-top"},
        ]
        status, page = post(gateway, PAGE, anonymous_id="a1", slates=asked)
        assert status == 200
        assert [slate["placement"] for slate in page["slates"]] == ["home-top", "home-end", "home-top"]
        shown = [item for slate in page["slates"] for item in items(slate)]
        assert len(shown) == len(set(shown)) == 13
        recorded = [[delivery.item_id for delivery in slate.deliveries] for slate in recommender.recorded.slates()]
        assert recorded == [items(slate) for slate in page["slates"]]

    def test_without_a_recommender_shows_no_item_twice_either(self, alone):
        slates = [{"placement": "home-top"}, {"placement": "home-end"}]
        _, page = post(alone, PAGE, anonymous_id="a1", exclude=["i0"], slates=slates)
        shown = [item for slate in page["slates"] for item in items(slate)]
        assert all(slate["fallback"] for slate in page["slates"])
        assert len(shown) == len(set(shown)) == 6
        assert "i0" not in shown

    @pytest.mark.parametrize(
        ("fault", "status", "told"),
        [
            ({"placement": "home-bottom"}, 404, "slates.1: placement"),
            ({"placement": "home-top", "limit": 11}, 422, "slates.1: limit"),
        ],
    )
    def test_serves_nothing_where_one_slate_does_not_fit(self, gateway, recommender, fault, status, told):
        found, problem = post(gateway, PAGE, anonymous_id="a1", slates=[{"placement": "home-top"}, fault])
        assert (found, problem["detail"].startswith(told)) == (status, True), problem
        assert recommender.recorded.slates() == []

    @pytest.mark.parametrize(
        ("slates", "field"),
        [
            ([], "slates"),
            ([{"placement": "home-top"}] * 21, "slates"),
            ([{"placement": "home-top", "limits": 3}], "slates.0.limits"),
        ],
    )
    def test_names_the_field_at_fault(self, gateway, slates, field):
        status, problem = post(gateway, PAGE, anonymous_id="a1", slates=slates)
        assert (status, problem["errors"][0]["field"]) == (422, field)

    def test_suggests_the_field_that_was_meant(self, gateway):
        _, problem = post(gateway, PAGE, anonymous_id="a1", slates=[{"placement": "home-top", "limits": 3}])
        assert "limit" in problem["errors"][0]["message"]


class TestCursor:
    def test_goes_on_until_there_is_no_more_and_shows_nothing_twice(self, gateway):
        shown: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            slate = gateway.ask(placement="home-top", anonymous_id="a1", limit=7, cursor=cursor)
            shown += items(slate)
            cursor = slate["cursor"]
        whole = gateway.ask(placement="home-end", anonymous_id="a1", limit=50)
        assert len(shown) == len(set(shown))
        assert set(shown) == set(items(whole))

    def test_is_not_sent_unless_it_was_asked_for(self, gateway):
        assert "cursor" not in gateway.ask(placement="home-top", anonymous_id="a1")

    @pytest.mark.parametrize("other", [{"anonymous_id": "a2"}, {"anonymous_id": "a1", "placement": "home-end"}])
    def test_is_good_for_one_person_at_one_placement(self, gateway, other):
        cursor = gateway.ask(placement="home-top", anonymous_id="a1", cursor="")["cursor"]
        status, problem = post(gateway, "/v1/recommendations", **{"placement": "home-top", "cursor": cursor} | other)
        assert status == 422
        assert problem["detail"].startswith("cursor:")


class TestIdempotencyKey:
    KEY = {"Idempotency-Key": "one"}  # noqa: RUF012

    @pytest.mark.parametrize("path", ["/v1/recommendations", PAGE])
    def test_gets_the_same_answer_and_is_recorded_once(self, gateway, recommender, path):
        wish = {"placement": "home-top"}
        fields = {"anonymous_id": "a1"} | ({"slates": [wish]} if path == PAGE else wish)
        first, second = (post(gateway, path, self.KEY, **fields) for _ in range(2))
        assert first == second
        assert first[0] == 200
        assert len(recommender.recorded.slates()) == 1
        assert post(gateway, path, **fields)[1] != first[1]

    def test_refuses_another_request_under_it(self, gateway):
        post(gateway, "/v1/recommendations", self.KEY, placement="home-top", anonymous_id="a1")
        status, problem = post(gateway, "/v1/recommendations", self.KEY, placement="home-top", anonymous_id="a2")
        assert status == 422
        assert "another request" in problem["detail"]
