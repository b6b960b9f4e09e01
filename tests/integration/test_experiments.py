"""Experiments through a real gateway and recommender: who sees what, what is recorded of it, and over restarts."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omakase.allocations import KEY
from omakase.config import parse_product
from omakase.core.overrides import issue
from tests.integration.stage import (
    KEYRING,
    PATIENCE_S,
    PRODUCT,
    START,
    RunningGateway,
    RunningRecommender,
    Shop,
    Stage,
)

EXPERIMENT = """
experiments:
  ranker:
    placements: [home-end]
    target: {country: JP}
    ramp: [{at: 2025-10-09T00:00:00Z, share: 5000}, {at: 2025-10-10T00:00:00Z, share: 10000}]
    variants:
      steady: {share: 5000, policy: thompson, model: clicks}
      lively: {share: 4000, policy: chance}
holdout: {share: 2000}
"""
NEXT_DAY = START + 86_400.0
PEOPLE = [f"a{i}" for i in range(40)]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path, parse_product(PRODUCT + EXPERIMENT))
    shop.stock()
    return shop


@pytest.fixture
def restarted(stage: Stage, shop: Shop, recommender: RunningRecommender, tmp_path: Path) -> Iterator[Any]:
    """Starts a gateway, each with the shop's configuration at that time."""
    running: list[RunningGateway] = []

    def start() -> RunningGateway:
        running.append(RunningGateway(stage, shop, tmp_path / f"gateway-{len(running)}", recommender.target))
        return running[-1]

    yield start
    for gateway in running:
        gateway.stop()


def ask(gateway: RunningGateway, person: str, override: str | None = None) -> tuple[int, dict[str, Any]]:
    fields = {"placement": "home-end", "anonymous_id": person, "context": {"country": "JP"}}
    return post(gateway, "/v1/recommendations", fields, override)


def post(gateway: RunningGateway, path: str, fields: object, override: str | None) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=PATIENCE_S)
    headers = {"Content-Type": "application/json"} | ({"Omakase-Override": override} if override else {})
    try:
        connection.request("POST", path, json.dumps(fields), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def seen(gateway: RunningGateway) -> dict[str, str]:
    return {person: ask(gateway, person)[1]["variant"] for person in PEOPLE}


def test_every_slate_says_in_which_experiment_it_was_and_why(gateway, recommender):
    seen(gateway)
    slates = recommender.recorded.slates()
    assert {(slate.variant, slate.experiment, slate.assigned_by) for slate in slates} == {
        ("learnt", "", "holdout"),
        ("learnt", "", "share"),
        ("steady", "ranker", "experiment"),
        ("lively", "ranker", "experiment"),
    }


def test_a_fallback_is_counted_to_the_same_experiment(alone):
    told = seen(alone)
    slates = {slate.unit: slate for slate in alone.recorded.slates()}
    for person, variant in told.items():
        slate = slates[KEYRING.pseudonym("anonymous", person)]
        assert (slate.policy, slate.variant) == ("fallback", variant)
        assert slate.experiment == ("" if variant == "learnt" else "ranker")
        assert slate.assigned_by in ("share", "experiment", "holdout")


def test_an_override_shows_its_variant_and_is_never_learnt_from(gateway, recommender):
    unit = KEYRING.pseudonym("anonymous", "a1")
    for variant in ("steady", "lively", "learnt"):
        override = issue(KEYRING, "home-end", variant, unit, int(START) + 60)
        assert ask(gateway, "a1", override)[1]["variant"] == variant
    slates = recommender.recorded.slates()
    assert {(slate.assigned_by, slate.is_trainable) for slate in slates} == {("override", False)}


@pytest.mark.parametrize("replayed", ["by another person", "at another placement", "too late", "and altered"])
def test_a_replayed_override_is_refused(gateway, recommender, shop, replayed):
    placement = "home-top" if replayed == "at another placement" else "home-end"
    variant = "control" if placement == "home-top" else "lively"
    override = issue(KEYRING, placement, variant, KEYRING.pseudonym("anonymous", "a1"), int(START) + 60)
    if replayed == "too late":
        shop.clock.move(START + 60)
    status, said = ask(
        gateway,
        "a2" if replayed == "by another person" else "a1",
        override.replace("lively", "steady") if replayed == "and altered" else override,
    )
    assert status == 403
    assert "override" in said["detail"]
    assert recommender.recorded.slates() == []


def test_on_a_page_an_override_holds_at_its_placement_alone(gateway, recommender):
    slates = [{"placement": "home-top"}, {"placement": "home-end"}]
    page = {"anonymous_id": "a1", "slates": slates}
    override = issue(KEYRING, "home-end", "lively", KEYRING.pseudonym("anonymous", "a1"), int(START) + 60)
    status, told = post(gateway, "/v1/recommendations:batch", page, override)
    assert status == 200
    assert [slate.assigned_by == "override" for slate in recommender.recorded.slates()] == [False, True]
    assert told["slates"][1]["variant"] == "lively"


@pytest.mark.parametrize("page", [["home-top", "home-end"], ["home-top"]])
def test_a_page_with_an_override_that_does_not_hold_records_nothing(gateway, recommender, page):
    override = issue(KEYRING, "home-end", "lively", KEYRING.pseudonym("anonymous", "a2"), int(START) + 60)
    asked = {"anonymous_id": "a1", "slates": [{"placement": placement} for placement in page]}
    assert post(gateway, "/v1/recommendations:batch", asked, override)[0] == 403
    assert recommender.recorded.slates() == []


def test_people_stay_where_they_are_over_a_restart_and_a_change_of_shares(restarted, shop):
    before = seen(restarted())
    shop.product = parse_product(PRODUCT + EXPERIMENT.replace("lively: {share: 4000", "lively: {share: 5000"))
    after = seen(restarted())
    moved = {person for person in PEOPLE if before[person] != after[person]}
    assert {after[person] for person in moved} <= {"lively"}
    assert shop.models.generation(KEY) == 2
    assert seen(restarted()) == after
    assert shop.models.generation(KEY) == 2


def test_a_ramp_step_that_falls_due_takes_people_in_on_all_gateways_alike(restarted, shop):
    first, second = restarted(), restarted()
    before = seen(first)
    shop.clock.move(NEXT_DAY)
    after = seen(first)
    assert after == seen(second)
    entered = {person for person in PEOPLE if before[person] != after[person]}
    assert entered
    assert {before[person] for person in entered} == {"learnt"}
    assert seen(restarted()) == after
