"""Shadows are ranked and recorded for nobody to see, and nothing that people wait for hangs on them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from gateway.recommenders import Recommender
from gateway.routing import Arm
from gateway.shadows import Shadows
from omakase.config import parse_product
from omakase.core.catalogue import Item
from omakase.core.overrides import issue
from omakase.v1 import recommender_pb2 as pb
from tests.integration.stage import KEYRING, PRODUCT, START, Shop, free_port, until
from tests.integration.test_experiments import ask

UNIT = KEYRING.pseudonym("anonymous", "a1")
SHADOWED = PRODUCT.replace(
    "  home-end:\n",
    "  home-end:\n"
    "    exposure: {per_stock: 1}\n"
    "    shadows: {ghost: {share: 10000, policy: chance, model: clicks}, nobody: {share: 0, policy: chance}}\n",
)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path, parse_product(SHADOWED))
    shop.stock()
    shop.catalogue.put([Item("coat", stock=2)])
    return shop


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("omakase_gateway_shadows_total", {"outcome": outcome}) or 0.0


def test_a_shadow_is_recorded_beside_what_is_shown_and_no_model_learns_from_it(gateway, recommender):
    answer = ask(gateway, "a1")[1]
    until(lambda: len(recommender.recorded.slates()) == 2, "the shadow is recorded")
    shown, shadow = sorted(recommender.recorded.slates(), key=lambda slate: slate.shadow)
    assert (answer["variant"], shown.variant, shadow.variant) == ("learnt", "learnt", "ghost")
    assert (shadow.unit, shadow.policy, shadow.experiment) == (UNIT, "chance", "")
    assert (shown.is_trainable, shadow.is_trainable) == (True, False)
    assert shown.request_id != shadow.request_id


def test_who_looks_by_an_override_casts_no_shadow(gateway, recommender):
    def shadowed() -> list[str]:
        return [slate.unit for slate in recommender.recorded.slates() if slate.shadow]

    ask(gateway, "a1", issue(KEYRING, "home-end", "learnt", UNIT, int(START) + 60))
    ask(gateway, "a2")  # its shadow is asked after any of the other's
    until(lambda: KEYRING.pseudonym("anonymous", "a2") in shadowed(), "the other's shadow is recorded")
    assert UNIT not in shadowed()


def test_a_shadow_without_a_recommender_is_lost_and_counted_and_the_answer_stands(alone):
    before = counted("lost")
    status, answer = ask(alone, "a1")
    assert (status, answer["variant"]) == (200, "learnt")
    until(lambda: counted("lost") > before, "the shadow is given up")


def test_no_more_shadows_than_are_good_for_those_who_wait(stage):
    before = counted("not_asked")
    arm = Arm("ghost", "chance", "", Recommender("main", f"127.0.0.1:{free_port()}", 0.1))

    async def cast() -> None:
        arm.recommender.connect()
        shadows = Shadows(most=2)
        shadows.cast(pb.RecommendRequest(placement="home-end"), [arm] * 5)
        await asyncio.sleep(0)
        await arm.recommender.close()

    stage.run(cast())
    assert counted("not_asked") == before + 3


def test_what_a_shadow_ranks_uses_up_no_stock(gateway, recommender):
    wanted = {"placement": "home-end", "anonymous_id": "a1", "candidates": ["coat"]}
    shown = []
    for asked in (1, 2, 3):
        shown += gateway.ask(**wanted)["items"]
        until(lambda asked=asked: len(recommender.recorded.slates()) == 2 * asked, "the shadow is recorded")
    assert [item["item_id"] for item in shown] == ["coat", "coat"], "once for each piece"
