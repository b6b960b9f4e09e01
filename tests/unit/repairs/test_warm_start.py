"""Models that learn from old logs, over the real store."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from omakase import models
from omakase.adapters.local.model_store import FileModelStore
from omakase.config import parse_product
from omakase.configured import ConfiguredModel
from omakase.core.catalogue import Item
from omakase.core.errors import InvalidInput
from omakase.core.features import cross
from omakase.core.posterior import Statistics
from omakase.ports.model_store import ABSENT
from omakase.repairs import warm_start
from omakase.snapshots import Snapshot, encode_snapshot

PRODUCT = """
placements:
  home:
    time_zone: Asia/Tokyo
    rewards: {impression: -0.1, click: 2}
    variants: {learnt: {share: 10000, policy: thompson, model: clicks}}
  other: {time_zone: Europe/Berlin, variants: {chance: {share: 10000, policy: chance}}}
policies: {thompson: {type: linear_ts}, chance: {type: uniform}}
models: {clicks: {features: taste, half_life_s: 3600}}
features:
  taste:
    item: [{type: numeric, name: price}]
    context: [{type: numeric, name: hour, scale: 24}, {type: categorical, name: user_feature_0, vocabulary: [a, b]}]
"""
ITEMS = {"i1": Item("i1", {"price": 3.0})}
AT = datetime(2026, 11, 20, 20, 30, tzinfo=UTC).timestamp()  # 5:30 in Tokyo


class Shop:
    def __init__(self, directory: Path, text: str = PRODUCT) -> None:
        self.store = FileModelStore(directory / "models")
        self.product = parse_product(text)
        self.model = ConfiguredModel.of(self.product, "clicks")
        self.log = directory / "log.ndjson"

    def write(self, *rows: dict[str, object] | str) -> None:
        lines = [
            row if isinstance(row, str) else json.dumps({"clicked": 0, "at": AT, "item_id": "i1", **row})
            for row in rows
        ]
        self.log.write_text("\n".join(lines) + "\n")

    def start(self) -> models.Published:
        reader = warm_start.LogReader(self.product, self.model, ITEMS)
        shown = reader.lines(self.log) if warm_start.is_json_lines(self.log) else reader.rows(self.log)
        return warm_start.warm_start(self.store, self.model, warm_start.log_name(self.log), shown, now=9.0)

    def x(self, hour: float, price: float, **facts: str) -> np.ndarray:
        spec = self.model.spec
        return cross(spec.encode_context({"hour": hour, **facts}), spec.encode_item({"price": price}))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_learns_lines_as_if_they_had_been_served(shop):
    shop.write(
        {"clicked": 1},
        {"context": {"hour": 7, "user_feature_0": "b"}, "metadata": {"price": -1}, "weight": 0.5, "reward": 4},
        {"at": "2026-11-20T22:30:00+00:00"},
    )
    statistics = shop.start().snapshot.statistics
    x = np.stack([shop.x(5.0, 3.0), shop.x(7.0, -1.0, user_feature_0="b"), shop.x(7.0, 3.0)])
    weight = np.array([0.25, 0.125, 1.0])
    wanted = Statistics.of(x, {"click": np.array([1.0, 0, 0]), "reward": np.array([1.9, 4.0, -0.1])}, weight)
    assert (statistics.examples, statistics.as_of, statistics.half_life_s) == (3, AT + 7200, 3600)
    assert_allclose(statistics.precision, wanted.precision)
    for name in ("click", "reward"):
        assert_allclose(statistics.outcomes[name].moment, wanted.outcomes[name].moment)
        assert_allclose(statistics.outcomes[name].energy, wanted.outcomes[name].energy)


@pytest.mark.parametrize(("how", "reward"), [("sum", 1.9), ("max", 2.0), ("first", -0.1), ("last", 2.0)])
def test_an_impression_and_its_click_combine_as_the_placement_says(tmp_path, how, reward):
    shop = Shop(tmp_path, PRODUCT.replace("rewards: {", f"combine_rewards: {how}\n    rewards: {{", 1))
    shop.write({"clicked": 1})
    assert shop.start().snapshot.statistics.outcomes["reward"].energy == pytest.approx(reward**2)


def test_learns_a_log_once_by_its_content(shop):
    shop.write({"clicked": 1})
    assert shop.start().generation == 1
    shop.log = shop.log.rename(shop.log.with_name("copy.ndjson"))
    with pytest.raises(InvalidInput, match="has learnt this log before"):
        shop.start()
    shop.write({"clicked": 1}, {"clicked": 0})
    assert shop.start().snapshot.statistics.examples == 3


def test_adds_to_what_was_learnt_and_leaves_the_trainers_count_alone(shop):
    d = shop.model.spec.dimensions
    sums = Statistics.of(np.ones((2, d)), {"click": np.ones(2)}, np.ones(2))
    body = encode_snapshot(Snapshot("clicks", shop.model.spec.schema_id, sums, {"embedded": 7}, frozen=True))
    shop.store.publish(shop.model.key, body, if_generation=ABSENT)
    shop.write({})
    found = shop.start().snapshot
    assert (found.statistics.examples, found.sequences["embedded"], found.frozen) == (3, 7, True)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "is no JSON"),
        ("[]", "must be one JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ({"clicked": 2}, "`clicked` must be 0 or 1, not 2"),
        ({"at": None}, "`at` must be when it was shown"),
        ({"at": "2026-11-20T22:30:00"}, "`at` must be when it was shown"),
        ({"at": AT * 1000}, "`at` must be when it was shown"),
        ({"weight": -1}, "`weight` must be a number from 0"),
        ({"reward": True}, "`reward` must be a number"),
        ({"item_id": "i2"}, "item_id 'i2' is not known"),
        ({"item_id": None}, "needs `metadata`"),
        ({"context": {"hour": "late"}}, "'hour' must be a number"),
        ({"context": []}, "`context` must be an object of facts"),
        ({"clickd": 1}, r"unknown keys \['clickd'\]"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_published(shop, line, fault):
    shop.write({"clicked": 1}, line)
    with pytest.raises(InvalidInput, match=f"log.ndjson, line 2: .*{fault}"):
        shop.start()
    assert shop.store.keys() == []


def test_an_empty_log_is_refused(shop):
    shop.write("{}")
    shop.log.write_text("\n")
    with pytest.raises(InvalidInput, match=r"no rows|must name the columns"):
        shop.start()


def test_what_placements_disagree_about_must_be_in_the_log(tmp_path):
    shop = Shop(tmp_path, PRODUCT.replace("policy: chance}}", "policy: thompson, model: clicks}}"))
    shop.write({})
    with pytest.raises(InvalidInput, match="reward differently: say the `reward`"):
        shop.start()
    shop.write({"reward": 0})
    with pytest.raises(InvalidInput, match="several time zones"):
        shop.start()
    shop.write({"reward": 0, "context": {"hour": 3, "weekday": 1}})
    assert shop.start().snapshot.statistics.examples == 1


def test_reads_what_omakase_replay_reads(shop):
    shop.log.write_text(
        "timestamp,item_id,position,click,propensity_score,user_feature_0\n"
        "2026-11-20 20:30:00+00:00,i1,1,1,0.5,a\n"
        "2026-11-20 20:30:00+00:00,i1,2,0,0.5,\n"
    )
    statistics = shop.start().snapshot.statistics
    x = np.stack([shop.x(5.0, 3.0, user_feature_0="a"), shop.x(5.0, 3.0)])
    assert statistics.examples == 2
    assert_allclose(statistics.precision, x.T @ x)
    assert_allclose(statistics.outcomes["click"].moment, x[0])
