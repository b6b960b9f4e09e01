"""Position bias: how differently positions are looked at, as the clicks say it."""

from __future__ import annotations

import numpy as np
import pytest

from omakase.core.errors import InvalidInput
from omakase.core.examination import CERTAIN, Examination, Looks, estimate

TRUE = Examination((1.0, 0.6, 0.35))
RELEVANCE = np.array([0.3, 0.25, 0.2, 0.3, 0.25, 0.2])
N, SLATES = RELEVANCE.size, 40_000
# The last three items are as good as the first three, and mostly stand behind them.
FAVOUR = np.array([3.0, 3.0, 3.0, 0.0, 0.0, 0.0])


def slates(rng: np.random.Generator) -> np.ndarray:
    """Shapes: (SLATES, 3)."""
    return np.argsort(-(FAVOUR + rng.gumbel(size=(SLATES, N))), axis=1)[:, :3]


def looks(items: np.ndarray, clicks: np.ndarray, predicted: np.ndarray) -> Looks:
    """Of slates. Shapes: all (slates, k)."""
    positions = np.broadcast_to(np.arange(1, items.shape[1] + 1), items.shape)
    return Looks(items.ravel(), positions.ravel(), clicks.ravel().astype(np.float64), predicted.ravel())


def test_uniform_slates_tell_the_examination_without_any_prediction() -> None:
    rng = np.random.default_rng(1)
    shown = np.argsort(rng.random((SLATES, N)), axis=1)[:, :3]
    clicks = rng.random(shown.shape) < RELEVANCE[shown] * TRUE.of_first(3)
    found = estimate(looks(shown, clicks, np.ones(shown.shape)))
    assert found.shares[0] == 1.0
    # 10,000 clicks at the first position, 3,500 at the third: standard errors below 0.013.
    assert found.of_first(3) == pytest.approx(TRUE.of_first(3), abs=0.03)


def test_a_model_s_slates_tell_it_though_every_item_is_predicted_wrongly() -> None:
    rng = np.random.default_rng(2)
    shown = slates(rng)
    clicks = rng.random(shown.shape) < RELEVANCE[shown] * TRUE.of_first(3)
    wrong = RELEVANCE * rng.uniform(0.3, 3.0, N)  # as wrong as a model that took silence behind for dislike
    found = estimate(looks(shown, clicks, wrong[shown]))
    assert found.of_first(3) == pytest.approx(TRUE.of_first(3), abs=0.04)


def test_slates_that_put_first_what_each_person_likes_need_the_predictions() -> None:
    rng = np.random.default_rng(3)
    liked = RELEVANCE * np.exp(rng.standard_normal((SLATES, N)) * 0.6)
    shown = np.argsort(-liked * rng.uniform(0.7, 1.3, liked.shape), axis=1)[:, :3]
    relevance = np.minimum(np.take_along_axis(liked, shown, axis=1), 1.0)
    clicks = rng.random(shown.shape) < relevance * TRUE.of_first(3)
    assert estimate(looks(shown, clicks, relevance)).of_first(3) == pytest.approx(TRUE.of_first(3), abs=0.03)
    assert estimate(looks(shown, clicks, np.ones(shown.shape))).of_first(3)[2] < 0.25


def test_little_is_taken_for_one_and_fifty_expected_clicks_are_halfway() -> None:
    one, two = np.array([0, 0]), np.array([1, 2])
    assert estimate(Looks(one, two, np.array([1.0, 0.0]), np.array([1.0, 1.0]))).shares[1] > 0.97
    # What the first position speaks for is certain: a tenth of 500 impressions, and no click.
    found = estimate(Looks(one, two, np.array([1e6, 0.0]), np.array([1e7, 500.0])))
    assert found.shares == (1.0, pytest.approx(0.5, abs=0.001))
    assert estimate(Looks(one[:0], two[:0], np.empty(0), np.empty(0))) == CERTAIN


def test_items_that_stay_where_they_are_tell_nothing() -> None:
    columns = np.array([0, 1]), np.array([1, 2])
    assert estimate(Looks(*columns, np.array([900.0, 100.0]), np.array([1e4, 1e4]))).shares == (1.0, 1.0)


@pytest.mark.parametrize("shares", [(), (0.9,), (1.0, 0.0), (1.0, 1.1), (1.0, float("nan")), (1.0,) * 256])
def test_an_examination_that_is_none_is_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput):
        Examination(shares)


def test_the_last_share_holds_for_all_further_positions() -> None:
    assert TRUE.of_first(5).tolist() == [1.0, 0.6, 0.35, 0.35, 0.35]
    assert TRUE.of_first(2).tolist() == [1.0, 0.6]
