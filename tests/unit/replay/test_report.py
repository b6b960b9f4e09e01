"""The report: the numbers of a log, their words, and their JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from omakase.replay.driver import Served
from omakase.replay.generate import GeneratedLog, generate
from omakase.replay.items import read_items
from omakase.replay.log import Log, read_log
from omakase.replay.product import LEARNT, UNIFORM
from omakase.replay.report import TOO_FEW, ReplayReport, report


def read(made: GeneratedLog) -> tuple[Log, int]:
    items = read_items(made.items)
    return read_log(made.log, [item.item_id for item in items]), len(items)


def text_of(found: ReplayReport) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(found)
    return console.export_text()


@pytest.fixture
def log(tmp_path: Path) -> tuple[Log, int, GeneratedLog]:
    made = generate(tmp_path, 30_000, seed=3, base_rate=0.05)
    return *read(made), made


def serve(log: Log, items: int, rows: int, seed: int) -> Served:
    """What a uniform placement would match. The seed is fixed."""
    return Served(np.random.default_rng(seed).random(rows) < 1 / items, model_versions={"m1"})


def test_logged_and_exact_lines_use_the_whole_log_and_served_lines_what_was_served(
    log: tuple[Log, int, GeneratedLog],
) -> None:
    rows, items, made = log
    found = report(rows, items, {UNIFORM: serve(rows, items, 9_000, 1)}, 9_000)
    logged, exact, served = found.lines
    assert (logged.rows, logged.matched, logged.clicks) == (30_000, 30_000, int(rows.click.sum()))
    assert logged.ctr is not None
    assert logged.ctr.value == pytest.approx(rows.click.mean())
    assert exact.ctr is None
    assert (exact.rows, exact.policy, exact.how) == (30_000, "uniform", "exact")
    assert served.rows == 9_000
    assert exact.snips.low <= made.uniform_value <= exact.snips.high
    # One log, three intervals at 95 %, fixed seeds.
    assert served.ips.low <= made.uniform_value <= served.ips.high
    assert served.snips.low <= made.uniform_value <= served.snips.high
    assert found.mean_weight == pytest.approx(1.0, abs=0.05)
    assert "the first 9,000 rows" in text_of(found)
    assert "all 30,000 rows" in text_of(found)


def test_says_too_few_clicks_where_a_served_policy_hardly_matched(log: tuple[Log, int, GeneratedLog]) -> None:
    rows, items, _ = log
    found = report(rows, items, {LEARNT: serve(rows, items, 500, 1)}, 500)
    assert found.has_too_few_clicks
    assert TOO_FEW in text_of(found)
    assert found.to_dict()["verdict"] == TOO_FEW


@pytest.mark.parametrize(
    ("versions", "words"),
    [({"m@0"}, "nothing it saw was learnt in time"), ({"m@0", "m@1", "m@2"}, "its model was replaced 2 times")],
)
def test_says_whether_the_policy_learnt_while_it_served(
    log: tuple[Log, int, GeneratedLog], versions: set[str], words: str
) -> None:
    rows, items, _ = log
    served = {UNIFORM: serve(rows, items, 500, 1), LEARNT: Served(np.zeros(500, dtype=np.bool_), 0, versions)}
    text = text_of(report(rows, items, served, 500))
    assert words in text
    assert "uniform served from" not in text


def test_ranks_policies_that_are_apart(log: tuple[Log, int, GeneratedLog]) -> None:
    rows, items, _ = log
    found = report(rows, items, {}, 30_000)
    assert not found.has_too_few_clicks
    assert found.verdict == "logged > uniform"


def test_uniform_counts_once_and_by_its_exact_line(log: tuple[Log, int, GeneratedLog]) -> None:
    rows, items, _ = log
    found = report(rows, items, {UNIFORM: serve(rows, items, 500, 1)}, 500)
    assert [(line.policy, line.how) for line in found.ranked] == [("logged", "logged"), ("uniform", "exact")]


def test_json_has_null_for_a_limit_that_nothing_bounds(log: tuple[Log, int, GeneratedLog]) -> None:
    rows, items, _ = log
    found = report(rows, items, {LEARNT: Served(np.zeros(100, dtype=np.bool_), fallbacks=100)}, 100)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["policies"][2]["ips"] == {"value": 0.0, "low": 0.0, "high": None, "n": 100, "effective_n": 0.0}
    assert plain["first_at"].startswith("2019-11-24T")
    assert "∞" in text_of(found)
    assert "100 served slates were fallbacks" in text_of(found)
