"""Policies that rank or explore by counts, served over real gRPC."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from omakase.config import parse_product
from omakase.core.counts import Counts
from omakase.counts import counts_key, encode_counts
from omakase.v1 import recommender_pb2 as pb
from tests.integration.asking import Asking, items_of
from tests.integration.stage import PATIENCE_S, PRODUCT, RunningRecommender, Shop, until

KEY = counts_key("home-top")
ITEMS = tuple(f"i{n}" for n in range(20))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    text = PRODUCT.replace(
        "control: {share: 5000, policy: chance}",
        """control: {share: 1000, policy: rates}
      fed: {share: 1000, policy: popular, model: clicks}
      greedy: {share: 1000, policy: greedy, model: clicks}
      tail: {share: 1000, policy: tail}
      mixed: {share: 1000, policy: popular}""",
    ).replace(
        "chance: {type: uniform}",
        """rates: {type: beta_ts}
  popular: {type: popularity}
  greedy: {type: epsilon_greedy, epsilon: 0.2}
  tail: {type: epsilon_greedy, epsilon: 1, over: popularity, tail: 1}""",
    )
    text = text.replace("slots: 3", "slots: 3\n    examination: [1, 0.5, 0.25]")
    shop = Shop(tmp_path, parse_product(text))
    shop.stock()
    return shop


@pytest.fixture
def ask(recommender: RunningRecommender) -> Iterator[Any]:
    with grpc.insecure_channel(recommender.target) as channel:
        asking = Asking(channel)

        def ask(policy: str, model: str = "", limit: int = 3, placement: str = "home-top") -> Any:
            request = pb.RecommendRequest(
                placement=placement, variant="any", policy=policy, model=model, limit=limit, measure=True
            )
            return asking(request, PATIENCE_S)

        yield ask


def count(shop: Shop, seen: dict[str, float], clicked: dict[str, float]) -> None:
    """Publish counts, as the job `context-free` does; what is not named was seen 1000 times, clicked 20."""
    counts = Counts(
        ITEMS,
        np.array([seen.get(item, 1000.0) for item in ITEMS]),
        np.array([clicked.get(item, 20.0) for item in ITEMS]),
    )
    shop.models.publish(KEY, encode_counts(counts), if_generation=shop.models.generation(KEY))


def shown(reply: Any) -> list[str]:
    return [item.item_id for item in items_of(reply)]


def test_popularity_is_the_order_of_the_catalogue_until_there_are_counts_and_then_theirs(shop, recommender, ask):
    first = ask("popular")
    assert (shown(first), first.model_version) == (["i0", "i3", "i4"], f"{KEY}@0")
    assert not first.predicted_click
    count(shop, {}, {"i9": 90, "i1": 80, "i7": 50})
    until(lambda: ask("popular").model_version == f"{KEY}@1", "the counts are served")
    assert shown(ask("popular")) == ["i9", "i7", "i0"]
    slate = recommender.recorded.slates()[-1]
    rate = (20 * 17 + 220 + 0.5) / 20_001
    assert [d.propensity for d in slate.deliveries] == [1.0] * 3
    assert slate.deliveries[0].predicted_click == pytest.approx((90 + 100 * rate) / 1100)
    assert (slate.model, slate.model_version, slate.is_trainable) == ("", f"{KEY}@1", False)


def test_without_a_model_a_slate_still_records_how_likely_its_positions_are_looked_at(shop, recommender, ask):
    count(shop, {}, {})
    until(lambda: ask("popular").model_version == f"{KEY}@1", "the counts are served")
    slate = recommender.recorded.slates()[-1]
    assert [d.item_factor.tolist() for d in slate.deliveries] == [[1.0], [0.5], [0.25]]
    first, second, third = (d.predicted_click for d in slate.deliveries)
    assert (second, third) == (pytest.approx(first / 2), pytest.approx(first / 4))


def test_beta_ts_shows_anything_before_the_first_click_and_hardly_anything_but_the_best_after_many(shop, ask):
    before = Counter(item for _ in range(60) for item in shown(ask("rates")))
    assert len(before) > 12
    count(shop, {}, {"i9": 200, "i7": 200, "i5": 200})
    until(lambda: ask("rates").model_version == f"{KEY}@1", "the counts are served")
    after = [shown(ask("rates")) for _ in range(40)]
    assert all(sorted(slate) == ["i5", "i7", "i9"] for slate in after)
    assert len({tuple(slate) for slate in after}) > 1


def test_a_variant_that_names_a_model_feeds_it_though_counts_rank(shop, recommender, ask):
    count(shop, {}, {"i9": 90})
    until(lambda: shown(ask("popular", model="clicks"))[0] == "i9", "the counts are served")
    slate = recommender.recorded.slates()[-1]
    spec = shop.product.feature_spec("clicks")
    assert slate.is_trainable
    assert slate.model_version == shop.version(0)
    np.testing.assert_array_equal(slate.deliveries[0].item_factor, spec.encode_item(slate.deliveries[0].metadata))
    assert slate.deliveries[0].predicted_click > 0.05


def test_epsilon_greedy_shows_the_best_but_for_epsilon_and_says_how_likely_it_was(shop, recommender, ask):
    generation = shop.publish(shop.learnt(2000))
    until(lambda: ask("greedy", model="clicks").model_version == shop.version(generation), "the model is served")
    rounds = 300
    firsts = Counter(shown(ask("greedy", model="clicks", limit=1))[0] for _ in range(rounds))
    (best, times), *_ = firsts.most_common()
    likely = 0.8 + 0.2 / 18
    # A standard error of 2.3 %, of which four are allowed.
    assert times / rounds == pytest.approx(likely, abs=4 * np.sqrt(likely * (1 - likely) / rounds))
    for slate in recommender.recorded.slates()[-50:]:
        expected = likely if slate.deliveries[0].item_id == best else 0.2 / 18
        assert slate.deliveries[0].propensity == pytest.approx(expected)


def test_a_tail_explores_what_was_seldom_seen(shop, ask):
    count(shop, {"i6": 0, "i8": 9}, {"i6": 0, "i8": 0})
    until(lambda: ask("tail").model_version == f"{KEY}@1", "the counts are served")
    firsts = Counter(shown(ask("tail", limit=1))[0] for _ in range(200))
    # Weights of 1, 1/10 and sixteen of 1/1001: 89.6 % and 9.0 %; standard errors of 2.2 % and 2.0 %, four allowed.
    assert firsts["i6"] / 200 == pytest.approx(0.896, abs=0.09)
    assert firsts["i8"] / 200 == pytest.approx(0.090, abs=0.08)


def test_counts_that_cannot_be_read_are_refused_and_the_last_good_ones_go_on(shop, ask, caplog):
    count(shop, {}, {"i9": 90})
    until(lambda: shown(ask("popular"))[0] == "i9", "the counts are served")
    shop.models.publish(KEY, b'["i3"]', if_generation=shop.models.generation(KEY))
    until(lambda: any("refused snapshot" in r.message for r in caplog.records), "the bad snapshot is refused")
    assert shown(ask("popular"))[0] == "i9"


def test_where_no_variant_ranks_by_counts_there_are_none(shop, ask):
    with pytest.raises(grpc.RpcError) as raised:
        ask("popular", placement="home-end")
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "ranks by counts, and has none of 'home-end'" in raised.value.details()
