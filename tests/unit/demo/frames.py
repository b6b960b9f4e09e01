"""Frames to draw and to sum up."""

from __future__ import annotations

from omakase.core.accounting import Account, Side
from omakase.core.evaluation import Estimate
from omakase.demo.frame import Frame
from omakase.demo.freshness import Freshness
from omakase.demo.progress import Progress, Served
from omakase.demo.scoreboard import Score

UNKNOWN = Score(Estimate(0.0, 0.0, 1.0, 0, 0.0), 0, 0, 0)

ACCOUNT = Account(
    recorded=72_000,
    accepted=74_560,
    parked=0,
    deliveries=Side(
        72_000, {"learnt": 1_420, "learnt_without_click": 33_480, "unseen": 1_100, "not_trainable": 36_000}, 0
    ),
    events=Side(74_560, {"used": 72_300, "corrected_late": 60, "duplicate": 2_200}, 0),
)

PROGRESS = Progress(
    elapsed_s=118.0,
    requests=24_000,
    fallbacks=12,
    deliveries=72_000,
    accepted=74_560,
    rate=198.7,
    latency_p50_ms=4.2,
    latency_p99_ms=31.9,
    first_seen={"home/0a1b2c3d4e5f@0": 1.0, "home/0a1b2c3d4e5f@9": 9.0, "home/0a1b2c3d4e5f@57": 2.0},
    served={"learnt": Served(36_000, 0.035 * 36_000)},
    is_final=True,
)


def score(value: float, low: float, high: float) -> Score:
    return Score(Estimate(value, low, high, 1998, 30_000.0), 1998, 36_000, round(36_000 * value))


def learnt() -> Frame:
    """A run that went well."""
    return Frame(
        seed=7,
        phase="shopping",
        left_s=72.4,
        uniform_ctr=0.015,
        best_ctr=0.055,
        control=score(0.0148, 0.0131, 0.0167),
        treatment=score(0.0394, 0.0370, 0.0419),
        recent=score(0.0461, 0.0410, 0.0515),
        progress=PROGRESS,
        account=ACCOUNT,
        freshness=Freshness(3.1, 4.6, 1420),
    )


def starting() -> Frame:
    """Before anything has happened."""
    nothing = Account(0, 0, 0, Side(0, {}, 0), Side(0, {}, 0))
    return Frame(7, "starting", 120.0, 0.015, 0.055, UNKNOWN, UNKNOWN, UNKNOWN, Progress(), nothing)
