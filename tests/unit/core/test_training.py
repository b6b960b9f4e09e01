"""From examples and corrections to sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omakase.core.errors import InvalidInput
from omakase.core.events import Joined
from omakase.core.features import cross
from omakase.core.ids import NOBODY
from omakase.core.sessions import Example
from omakase.core.training import summarise

CONTEXT, ITEM = np.array([0.5], dtype=np.float32), np.array([1.0, 2.0], dtype=np.float32)
X = cross(CONTEXT, ITEM)
SEEN, CLICKED = {"click": 0.0, "reward": 0.0}, {"click": 1.0, "reward": 2.0}


def example(outcomes, before=None, weight: float = 1.0, item=ITEM) -> Example:
    joined = Joined(0.0, "home", "learnt", "ts", "m/abc", NOBODY, "i1", CONTEXT, item)
    return Example(joined, outcomes, weight, 0.0, before)


def test_an_example_and_its_correction_sum_to_the_corrected_example() -> None:
    sums = summarise([example(SEEN), example(CLICKED, before=SEEN)])
    assert sums.precision == pytest.approx(np.outer(X, X))
    assert sums.outcomes["click"].moment == pytest.approx(X)
    assert sums.outcomes["reward"].moment == pytest.approx(2 * X)
    assert sums.outcomes["reward"].energy == 4.0
    assert (sums.weight, sums.examples) == (1.0, 1)


def test_corrections_alone_add_no_example() -> None:
    sums = summarise([example(SEEN, before=CLICKED, weight=0.5)])
    assert not sums.precision.any()
    assert sums.outcomes["reward"].moment == pytest.approx(-0.5 * 2 * X)
    assert (sums.weight, sums.examples) == (0.0, 0)


def test_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InvalidInput, match="finite"):
        summarise([example({"click": 1.0, "reward": float("inf")})])
    with pytest.raises(InvalidInput, match="finite"):
        summarise([example({"click": 1.0, "reward": float("inf")}, before=SEEN)])


def test_examples_of_different_dimensions_are_refused() -> None:
    with pytest.raises(InvalidInput, match="dimensions"):
        summarise([example(SEEN), example(SEEN, item=np.ones(5, dtype=np.float32))])


def test_nothing_has_no_sum() -> None:
    with pytest.raises(ValueError, match="nothing"):
        summarise([])


def test_what_was_taken_back_was_never_learnt() -> None:
    other = np.array([3.0, -1.0], dtype=np.float32)
    kept = summarise([example(CLICKED, item=other)])
    sums = summarise([example(CLICKED, item=other), example(SEEN), example(CLICKED, before=SEEN)])
    sums += summarise([example(None, before=CLICKED)])
    assert sums.precision == pytest.approx(kept.precision)
    assert sums.outcomes["reward"].moment == pytest.approx(kept.outcomes["reward"].moment)
    assert sums.outcomes["reward"].energy == pytest.approx(kept.outcomes["reward"].energy)
    assert (sums.weight, sums.examples) == (1.0, 1)


def test_an_example_weighs_half_after_each_half_life_and_its_correction_with_it() -> None:
    old, new = example(CLICKED), replace(example(SEEN), at=200.0)
    sums = summarise([old, new, example(SEEN, before=CLICKED)], half_life_s=100.0)
    assert sums.precision == pytest.approx(1.25 * np.outer(X, X))
    assert sums.outcomes["reward"].moment == pytest.approx(0 * X)
    assert (sums.weight, sums.examples, sums.as_of) == (1.25, 2, 200.0)
