"""Replays through the real services: of ZOZOTOWN's logs, and of a generated one whose truth is known."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omakase.core.errors import InvalidInput
from omakase.replay import ReplayReport, replay
from omakase.replay.generate import generate
from omakase.replay.report import Line

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("OMAKASE_TEST_DATA", ROOT.parent / "shared" / "data" / "obd"))
needs_logs = pytest.mark.skipif(
    not (DATA / "bts_men.csv.gz").exists(),
    reason=f"needs the Open Bandit Dataset's men's logs in {DATA}; set OMAKASE_TEST_DATA to their folder",
)


def line(found: ReplayReport, policy: str, how: str) -> Line:
    return next(entry for entry in found.lines if (entry.policy, entry.how) == (policy, how))


@needs_logs
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_men_s_logs_agree_on_what_uniform_earns(tmp_path: Path) -> None:
    """SNIPS of uniform from what Thompson sampling logged overlaps the click rate that uniform really had."""
    items = DATA / "item_context_men.csv"
    logs = [DATA / f"{name}_men.csv.gz" for name in ("bts", "random")]
    bts, random = (replay(log, items, serve_rows=150, progress=False) for log in logs)
    own = line(random, "logged", "logged").ctr
    assert own is not None
    assert line(bts, "uniform", "exact").snips.overlaps(own)
    for found in (bts, random):
        assert (found.rows, found.served_rows, found.items) == (10_000, 150, 34)
        assert found.faults == ()
        assert found.verdict == "too few clicks to rank policies"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_million_rows_of_known_truth_are_covered_and_every_match_is_learnt(tmp_path: Path) -> None:
    """The seed of the log is fixed. What is served is not: only the books must balance, and they must to the event."""
    made = generate(tmp_path, 1_000_000, seed=1, base_rate=0.02)
    found = replay(made.log, made.items, serve_rows=300, seed=1, data_dir=tmp_path / "data", progress=False)
    exact = line(found, "uniform", "exact")
    for estimate in (exact.ips, exact.snips):
        assert estimate.low <= made.uniform_value <= estimate.high
    assert found.mean_weight == pytest.approx(1.0, abs=0.01)
    assert found.faults == ()
    assert line(found, "uniform", "served").matched > 0
    assert line(found, "linear_ts", "served").matched > 0


def test_a_bad_row_is_refused_before_anything_starts(tmp_path: Path) -> None:
    made = generate(tmp_path, 20, seed=1)
    bad = tmp_path / "bad.csv"
    bad.write_text("timestamp,item_id,position,click,propensity_score\n2019-11-24T00:00:00Z,0,1,0,0\n")
    with pytest.raises(InvalidInput, match="line 2: propensity_score '0'"):
        replay(bad, made.items, data_dir=tmp_path / "data", progress=False)
    assert list((tmp_path / "data").iterdir()) == []


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    made = generate(tmp_path, 20, seed=1)
    with pytest.raises(InvalidInput, match="not an empty directory"):
        replay(made.log, made.items, data_dir=tmp_path, progress=False)
    with pytest.raises(InvalidInput, match="1 or more"):
        replay(made.log, made.items, serve_rows=0, progress=False)
