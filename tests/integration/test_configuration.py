"""The configuration changes while the shop is asked: nothing fails, and nothing falls back because of it."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Self

import pytest

from omakase.core.catalogue import Item
from tests.integration.stage import PRODUCT, RunningGateway, RunningRecommender, Shop, free_port, until

SHARES = "control: {share: 5000", "learnt: {share: 5000"
NEW = """
      fresh: {share: %d, policy: greedy, model: newer, recommender: other}
  home-end:"""
OTHER = """
recommenders:
  main: {}
  other: {target: "%s"}
"""


class Visitors:
    """Ask without pause from two threads, each time as somebody else, and keep what they got."""

    def __init__(self, gateway: RunningGateway, **asked: Any) -> None:
        self._gateway = gateway
        self._asked = {"placement": "home-top", **asked}
        self._stopping = threading.Event()
        self._numbers = count()
        self.answers: list[dict[str, Any]] = []
        self.failures: list[object] = []
        self._threads = [threading.Thread(target=self._visit) for _ in range(2)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def variants(self, of_last: int = 100) -> set[str]:
        return {answer["variant"] for answer in self.answers[-of_last:]}

    def until(self, is_true: Callable[[], bool], what: str) -> None:
        until(lambda: bool(self.failures) or is_true(), what)
        self.check()

    def after(self, more: int = 100) -> set[str]:
        """The variants of the next answers."""
        seen = len(self.answers)
        self.until(lambda: len(self.answers) >= seen + more, "more have asked")
        return self.variants(of_last=more // 2)

    def check(self) -> None:
        assert self.failures == []
        assert Counter(answer["policy"] for answer in self.answers if answer["fallback"]) == {}

    def _visit(self) -> None:
        while not self._stopping.is_set():
            try:
                self.answers.append(self._gateway.ask(**self._asked, anonymous_id=f"p{next(self._numbers)}"))
            except (AssertionError, OSError) as error:
                self.failures.append(error)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "product.yaml"
    path.write_text(PRODUCT)
    return path


@pytest.fixture
def shop(tmp_path: Path, file: Path) -> Shop:
    shop = Shop(tmp_path, file=file)
    shop.stock()
    return shop


@pytest.fixture
def visitors(gateway: RunningGateway) -> Iterator[Visitors]:
    with Visitors(gateway) as visitors:
        visitors.until(lambda: visitors.variants() == {"control", "learnt"}, "both variants are seen")
        yield visitors
    visitors.check()


def changed(*pairs: tuple[str, str]) -> str:
    text = PRODUCT
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def test_shares_follow_the_file(file, visitors):
    file.write_text(changed((SHARES[0], "control: {share: 10000"), (SHARES[1], "learnt: {share: 0")))
    visitors.until(lambda: visitors.variants() == {"control"}, "everybody is in control")
    file.write_text(PRODUCT)
    visitors.until(lambda: visitors.variants() == {"control", "learnt"}, "half of them are back")


def test_a_new_deployment_is_one_variant_more_and_turning_it_off_is_one_line(stage, shop, file, visitors, tmp_path):
    """With a policy, a model and features that nobody knew before."""
    port = free_port()
    added = changed(
        (SHARES[1], "learnt: {share: 4000"),
        ("\n  home-end:", NEW % 1000),
        ("policies:", "policies:\n  greedy: {type: epsilon_greedy}"),
        ("models:", "models:\n  newer: {features: plain}"),
        ("features:\n  taste", "features:\n  plain: {item: [{type: numeric, name: price}]}\n  taste"),
    )
    file.write_text(added + OTHER % f"127.0.0.1:{port}")
    assert visitors.after() == {"control", "learnt"}, "nobody is sent to a recommender that is not there yet"
    other = RunningRecommender(stage, shop, tmp_path / "other", f"127.0.0.1:{port}").ready()
    visitors.until(lambda: "fresh" in visitors.variants(), "the new variant is seen")
    assert {slate.variant for slate in other.recorded.slates()} == {"fresh"}
    assert {answer["model_version"].split("/")[0] for answer in visitors.answers if answer["variant"] == "fresh"} == {
        "newer"
    }
    off = added.replace("fresh: {share: 1000", "fresh: {share: 0").replace("share: 4000", "share: 5000")
    file.write_text(off + OTHER % f"127.0.0.1:{port}")
    visitors.until(lambda: visitors.variants(300) == {"control", "learnt"}, "it is turned off")
    file.write_text(PRODUCT)
    visitors.after()
    other.stop()


def test_a_wrong_file_changes_nothing_and_is_told_once_by_each_process(file, visitors, caplog):
    with caplog.at_level(logging.ERROR, "omakase.serving.configuration"):
        file.write_text(changed((SHARES[0], "control: {share: 500"), ("type: uniform", "type: unifrom")))
        until(lambda: len(caplog.records) == 2, "gateway and recommender have told")
        assert visitors.after(300) == {"control", "learnt"}
        told = [record.getMessage() for record in caplog.records]
    assert told[0] == told[1]
    assert len(told) == 2
    assert "product.yaml:8: placements.home-top.variants: the shares sum to 5500; they must sum to 10000" in told[0]
    assert "policies.chance.type: unknown type 'unifrom'; did you mean 'uniform'?" in told[0]
    file.write_text(changed((SHARES[0], "control: {share: 0"), (SHARES[1], "learnt: {share: 10000")))
    visitors.until(lambda: visitors.variants() == {"learnt"}, "the repaired file is followed")


def test_a_placement_comes_and_goes_with_its_pins(stage, shop, recommender, gateway, file, visitors):
    home_end = PRODUCT[PRODUCT.index("  home-end:") : PRODUCT.index("policies:")]
    file.write_text(changed((home_end, home_end + home_end.replace("home-end", "cart") + "    pinned: {1: i7}\n")))
    until(lambda: ask(gateway, "cart") == 200, "it is there")
    assert gateway.ask(placement="cart", anonymous_id="p")["items"][0]["item_id"] == "i7"
    file.write_text(PRODUCT)
    until(lambda: ask(gateway, "cart") == 404, "it is gone")


def naming_another(share: int) -> str:
    """Another recommender, which is not there; and slates of four items, to see whether this is followed."""
    absent = (NEW % share).replace("greedy", "thompson").replace("newer", "clicks")
    shares = (SHARES[1], f"learnt: {{share: {5000 - share}"), ("slots: 3", "slots: 4")
    return changed(("\n  home-end:", absent), *shares) + OTHER % f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize(("grace_s", "share"), [(0.2, 1), (3600.0, 0)], ids=["beyond the grace", "if it is turned off"])
def test_a_recommender_that_never_says_it_knows_is_not_waited_for(
    stage, shop, recommender, file, tmp_path, grace_s, share
):
    gateway = RunningGateway(stage, shop, tmp_path / "gateway", recommender.target, grace_s=grace_s)
    file.write_text(naming_another(share))
    until(lambda: len(gateway.ask(placement="home-top", anonymous_id="p")["items"]) == 4, "it is followed")
    gateway.stop()


def test_what_an_unchanged_model_has_learnt_goes_on_through_a_change(shop, file, gateway):
    shop.publish()
    version = shop.version(1)
    until(lambda: gateway.ask(placement="home-end", anonymous_id="p")["model_version"] == version, "it is served")
    shop.catalogue.put([Item("dear", {"colour": "red", "price": 99.0})])
    file.write_text(changed(("slots: 3", "slots: 4")))
    until(lambda: len(gateway.ask(placement="home-top", anonymous_id="p")["items"]) == 4, "it is followed")
    assert gateway.ask(placement="home-end", anonymous_id="p")["model_version"] == version


def ask(gateway: RunningGateway, placement: str) -> int:
    body = f'{{"placement": "{placement}", "anonymous_id": "p"}}'
    return gateway.send("POST", "/v1/recommendations", body.encode())[0]
