"""The best of many scores: always what sorting them all would give."""

from __future__ import annotations

import numpy as np
import pytest

from omakase.core.top import best, best_of_products

NAN, INF = float("nan"), float("inf")
# One block, the edges of the first and of the next, and several.
SIZES = (0, 1, 7, 4095, 4096, 4097, 69_632, 69_633, 250_000)


def sorted_out(scores: np.ndarray, eligible: np.ndarray, k: int) -> list[int]:
    keys = np.where(np.isnan(scores), -np.inf, scores)
    return [int(i) for i in np.argsort(-keys, kind="stable") if eligible[i]][: max(k, 0)]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("k", [0, 1, 10, 300])
def test_is_the_head_of_all_eligible_scores_sorted(n: int, k: int) -> None:
    rng = np.random.default_rng(n + k)
    for share in (0.0, 0.001, 0.5, 1.0):
        scores, eligible = rng.standard_normal(n, dtype=np.float32), rng.random(n) < share
        assert best(scores, eligible, k).tolist() == sorted_out(scores, eligible, k)


@pytest.mark.parametrize("n", SIZES)
def test_of_equal_scores_the_lowest_index_comes_first(n: int) -> None:
    rng = np.random.default_rng(n)
    for levels in (1, 3, 40):
        scores, eligible = rng.integers(0, levels, n).astype(np.float32), rng.random(n) < 0.7
        assert best(scores, eligible, 12).tolist() == sorted_out(scores, eligible, 12)


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_does_not_hang_on_the_order(order: str) -> None:
    scores = np.arange(200_000, dtype=np.float32)[:: 1 if order == "ascending" else -1]
    assert best(scores, np.ones(scores.size, np.bool_), 5).tolist() == sorted_out(scores, scores >= 0, 5)


@pytest.mark.parametrize("n", [20, 5000, 150_000])
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_what_is_not_finite_takes_nobodys_place(n: int, share: float) -> None:
    rng = np.random.default_rng(n)
    for bad in (NAN, -INF, INF):
        scores = rng.standard_normal(n, dtype=np.float32)
        scores[rng.random(n) < share] = bad
        scores[rng.random(n) < 0.1] = -INF
        eligible = rng.random(n) < 0.9
        assert best(scores, eligible, 10).tolist() == sorted_out(scores, eligible, 10)


def test_a_number_far_behind_beats_what_is_none() -> None:
    scores = np.full(10_000, NAN, dtype=np.float32)
    scores[9_000], scores[9_500] = -5.0, -INF
    assert best(scores, np.ones(10_000, np.bool_), 2).tolist() == [9_000, 0]


@pytest.mark.parametrize("n", [0, 5, 3000, 40_000])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.2, 0.9])
def test_products_are_ranked_as_if_they_were_all_there(n: int, share: float) -> None:
    rng = np.random.default_rng(n)
    # Whole numbers, so that no way of adding them up rounds; few, so that many scores are equal.
    factors = rng.integers(-3, 4, (n, 6)).astype(np.float32)
    weights = rng.integers(-3, 4, (9, 6)).astype(np.float32)
    values = rng.integers(-2, 3, n).astype(np.float32)
    for eligible in (rng.random(n) < share, rng.random((9, n)) < share):
        for worth in (None, values):
            found = best_of_products(factors, weights, eligible, 7, worth)
            for b, scores in enumerate(weights @ factors.T):
                mine = eligible if eligible.ndim == 1 else eligible[b]
                assert found[b].tolist() == sorted_out(scores if worth is None else scores * worth, mine, 7)


def test_products_need_requests_and_places() -> None:
    factors, eligible = np.ones((5, 2), np.float32), np.ones(5, np.bool_)
    assert best_of_products(factors, np.empty((0, 2), np.float32), eligible, 3) == []
    assert [top.size for top in best_of_products(factors, np.ones((2, 2), np.float32), eligible, 0)] == [0, 0]


def test_products_that_are_not_numbers_take_nobodys_place() -> None:
    rng = np.random.default_rng(3)
    factors = rng.integers(-9, 10, (10_000, 3)).astype(np.float32)
    factors[::3] = NAN
    (top,) = best_of_products(factors, np.ones((1, 3), np.float32), np.ones(10_000, np.bool_), 10)
    assert top.tolist() == sorted_out(factors.sum(axis=1), np.arange(10_000) % 3 > 0, 10)
