"""What is surprising, and what is chance."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from omakase.core.calibration import UNCALIBRATED, Calibration, is_mature
from omakase.core.events import Joined
from omakase.core.ids import NOBODY
from omakase.core.posterior import Statistics
from omakase.core.sessions import Example

FACTOR = np.ones(1, dtype=np.float32)
JOINED = Joined(0.0, "home", "a", "p", "m", NOBODY, "i", FACTOR, FACTOR, predicted_click=0.1)


def seen(at: float, click: float, predicted: float | None = 0.1) -> Example:
    return Example(replace(JOINED, predicted_click=predicted), {"click": click, "reward": click}, 1.0, at)


def test_counts_new_examples_that_have_a_prediction() -> None:
    late = replace(seen(5001.0, 1.0), before={"click": 0.0, "reward": 0.0})
    gone = replace(seen(5001.0, 1.0), outcomes=None, before={"click": 0.0, "reward": 0.0})
    examples = [seen(5000.0, 1.0), seen(5001.0, 0.0, 0.3), seen(5002.0, 1.0, None), late, gone]
    found = Calibration.of(examples)
    assert (found.examples, found.clicks, found.since) == (2, 1, 5000.0)
    assert found.predicted == pytest.approx(0.4)


def test_leaves_out_what_a_model_of_long_ago_predicted() -> None:
    found = Calibration.of([seen(1000.0, 1.0), seen(1001.0, 0.0), seen(4601.0, 0.0)])
    assert (found.examples, found.clicks, found.since) == (2, 0, 1001.0)


def test_nothing_is_neutral_when_calibrations_add() -> None:
    found = Calibration(3, 0.5, 1, 10.0) + Calibration(2, 0.25, 0, 5.0) + UNCALIBRATED
    assert found == Calibration(5, 0.75, 1, 5.0)
    assert Calibration.of([]) == UNCALIBRATED == Calibration(0, 0.0, 0, math.inf)


@pytest.mark.parametrize(
    ("clicks", "predicted", "is_surprising"),
    [
        (100, 100.0, False),
        (199, 100.0, False),  # within the ratio, however unlikely
        (201, 100.0, True),
        (49, 100.0, True),
        (51, 100.0, False),
        (8, 2.0, False),  # four times as many, but that happens
        (0, 10.0, False),  # P(0 | 10) = 4.5e-5
        (0, 14.0, True),  # P(0 | 14) = 8.3e-7
        (9, 0.0, False),  # a handful, where none was expected
        (10, 0.0, True),
        (0, 0.0, False),
    ],
)
def test_is_surprised_beyond_the_ratio_and_beyond_chance(clicks: int, predicted: float, is_surprising: bool) -> None:
    assert Calibration(1000, predicted, clicks, 0.0).is_surprising(2.0) is is_surprising


def test_one_batch_in_a_million_surprises_by_chance_alone() -> None:
    rng = np.random.default_rng(4)
    chances = rng.uniform(0.0, 0.02, size=2000)
    clicks = rng.binomial(1, np.broadcast_to(chances, (2000, 2000))).sum(axis=1)
    ratio = 1.000001  # the test alone decides
    surprises = [Calibration(2000, chances.sum(), int(n), 0.0).is_surprising(ratio) for n in clicks]
    assert sum(surprises) == 0


@pytest.mark.parametrize(("n", "clicks", "mature"), [(1000, 30, True), (999, 30, False), (1000, 29, False)])
def test_a_model_is_mature_with_1000_examples_and_30_clicks(n: int, clicks: int, mature: bool) -> None:
    outcome = np.array([1.0] * clicks + [0.0] * (n - clicks))
    assert is_mature(Statistics.of(np.ones((n, 1)), {"click": outcome}, np.ones(n))) is mature
    assert not is_mature(Statistics.empty(1))
