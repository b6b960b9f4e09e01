"""The generated log: its truth is the truth, and the estimators find it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omakase.core.evaluation import ips, snips
from omakase.replay.generate import World, generate
from omakase.replay.items import read_items
from omakase.replay.log import read_log

ROWS = 1_000_000


@pytest.mark.parametrize("estimate", [ips, snips])
@pytest.mark.parametrize("policy", ["uniform", "greedy"])
def test_a_million_rows_cover_the_truth(policy: str, estimate: object) -> None:
    """One log and four intervals of 95 %: the seed is fixed, and each interval narrower than a tenth of its value."""
    rng = np.random.default_rng(20191124)
    world = World.random(rng)
    rows = world.sample(ROWS, rng)
    table = getattr(world, policy)
    found = {ips: ips, snips: snips}[estimate](rows.click, world.weights(table, rows))
    assert found.low <= world.value(table) <= found.high
    assert found.high - found.low < 0.1 * found.value


def test_the_logged_policy_earns_what_its_clicks_say() -> None:
    """Tolerance: four standard errors of a binomial share over a million rows."""
    rng = np.random.default_rng(4)
    world = World.random(rng)
    truth = world.value(world.logging)
    assert abs(world.sample(ROWS, rng).click.mean() - truth) < 4 * np.sqrt(truth / ROWS)


def test_every_item_could_have_been_logged_everywhere() -> None:
    world = World.random(np.random.default_rng(1))
    assert world.logging.min() >= 0.1 / world.logging.shape[2]
    for policy in (world.logging, world.uniform, world.greedy):
        np.testing.assert_allclose(policy.sum(axis=2), 1.0)
    assert world.value(world.greedy) > world.value(world.logging) > world.value(world.uniform)


def test_files_read_back_and_tell_the_truth(tmp_path: Path) -> None:
    """The seed is fixed; the uniform policy's interval at 50,000 rows covers."""
    made = generate(tmp_path, 50_000, seed=2)
    items = read_items(made.items)
    log = read_log(made.log, [item.item_id for item in items])
    assert len(log) == 50_000
    assert set(log.position) == {1, 2, 3}
    found = snips(log.click, 1 / len(items) / log.propensity)
    assert found.low <= made.uniform_value <= found.high


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    directories = [tmp_path / name for name in ("one", "two", "other")]
    for directory, seed in zip(directories, (1, 1, 2), strict=True):
        directory.mkdir()
        generate(directory, 200, seed=seed)
    one, two, other = ((directory / "log.csv.gz").read_bytes() for directory in directories)
    assert one == two != other
