"""The configuration made from a log: valid, complete and moderate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omakase.core.catalogue import Item
from omakase.core.errors import InvalidInput
from omakase.replay.generate import generate
from omakase.replay.items import read_items
from omakase.replay.log import Log, read_log
from omakase.replay.product import LEARNT, MAX_DIMENSIONS, UNIFORM, product, reward_window_s, write_product


@pytest.fixture
def made(tmp_path: Path) -> tuple[Log, tuple[Item, ...]]:
    files = generate(tmp_path, 500, seed=1)
    items = read_items(files.items)
    return read_log(files.log, [item.item_id for item in items]), items


def test_the_services_accept_it(made: tuple[Log, tuple[Item, ...]], tmp_path: Path) -> None:
    found = write_product(tmp_path / "product.yaml", *made)
    assert set(found.placements) == {UNIFORM, LEARNT}
    assert [v.model for v in found.placements[UNIFORM].variants.values()] == [None]
    assert [v.model for v in found.placements[LEARNT].variants.values()] == ["replay"]


def test_every_fact_of_the_log_reaches_the_learner(made: tuple[Log, tuple[Item, ...]], tmp_path: Path) -> None:
    log, items = made
    spec = write_product(tmp_path / "product.yaml", log, items).feature_spec("replay")
    assert spec.dimensions == (1 + 1 + 3) * (1 + 3 + 4)
    assert np.count_nonzero(spec.encode_context(log.context(0))) == 2
    encoded = np.array([spec.encode_item(item.metadata) for item in items])
    assert abs(encoded[:, 1].mean()) < 1e-6
    assert encoded[:, 1].std() == pytest.approx(1.0, rel=1e-5)


def test_features_with_many_levels_are_left_out(made: tuple[Log, tuple[Item, ...]], tmp_path: Path) -> None:
    log, items = made
    many = tuple(f"level-{i}" for i in range(400))
    wide = replace(
        log,
        contexts=np.vstack([log.contexts, np.arange(len(log), dtype=np.int32)[None] % 400]),
        context_names=(*log.context_names, "user_feature_2"),
        levels=(*log.levels, many),
    )
    named = tuple(Item(item.item_id, {**item.metadata, "item_feature_2": f"only-{item.item_id}"}) for item in items * 3)
    named = tuple(
        replace(item, item_id=f"{i}", metadata={**item.metadata, "item_feature_2": f"x{i}"})
        for i, item in enumerate(named)
    )
    spec = write_product(tmp_path / "product.yaml", wide, named).feature_spec("replay")
    assert spec.dimensions <= MAX_DIMENSIONS
    assert [feature.name for feature in spec.context] == ["user_feature_0", "user_feature_1"]
    assert [feature.name for feature in spec.item] == ["item_feature_0", "item_feature_1"]


def test_the_reward_window_outlasts_what_the_clock_moves_while_records_ship(
    made: tuple[Log, tuple[Item, ...]],
) -> None:
    log, _ = made
    assert reward_window_s(log) >= log.at[-1] - log.at[0]
    dense = replace(log, at=np.linspace(0.0, 499.0, len(log)))
    assert reward_window_s(dense) == 3600.0
    rows = 40_000
    at = np.arange(rows, dtype=np.float64)
    at[rows // 2 :] += 10 * 86_400.0
    assert reward_window_s(replace(log, at=at)) == 10 * 86_400.0 + 15_000


def test_fewer_items_than_positions_are_refused(made: tuple[Log, tuple[Item, ...]]) -> None:
    log, items = made
    with pytest.raises(InvalidInput, match="2 items for 3 positions"):
        product(log, items[:2])
