"""A click is fresh when an answer knows it."""

from __future__ import annotations

import numpy as np
import pytest

from omakase.demo.freshness import Publish, freshness, generation_of


def test_a_click_waits_for_the_first_answer_by_its_generation() -> None:
    found = freshness([Publish(1, (10.0, 11.0)), Publish(2, (12.0,))], {"home/a@1": 13.0, "home/a@2": 16.0})
    assert found is not None
    assert found.clicks == 3
    assert found.p50_s == 3.0
    assert found.p95_s == pytest.approx(np.quantile([3.0, 2.0, 4.0], 0.95))


def test_a_superseded_generation_counts_from_the_next_that_was_seen() -> None:
    found = freshness([Publish(2, (10.0,))], {"home/a@1": 9.0, "home/a@4": 15.0})
    assert found is not None
    assert found.p50_s == 5.0


def test_an_older_generation_seen_late_does_not_make_clicks_older() -> None:
    found = freshness([Publish(1, (10.0,))], {"home/a@1": 20.0, "home/a@2": 14.0})
    assert found is not None
    assert found.p50_s == 4.0


@pytest.mark.parametrize(
    ("publishes", "first_seen"),
    [([], {"home/a@1": 1.0}), ([Publish(1, (1.0,))], {}), ([Publish(5, (1.0,))], {"home/a@4": 2.0}), ([], {})],
)
def test_nothing_seen_is_nothing_timed(publishes: list[Publish], first_seen: dict[str, float]) -> None:
    assert freshness(publishes, first_seen) is None


@pytest.mark.parametrize(("version", "generation"), [("home/ab12@7", 7), ("", 0), ("home/ab12", 0), ("home@x", 0)])
def test_a_version_ends_in_its_generation(version: str, generation: int) -> None:
    assert generation_of(version) == generation
