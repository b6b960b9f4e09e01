"""Click rates by item: what is believed of each, and how it is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, kstest

from omakase.core.catalogue import Catalogue, Item
from omakase.core.choices import Choice
from omakase.core.counts import Counts, CountScorer, Prior
from omakase.core.errors import InvalidInput
from omakase.core.policies import Source, Thompson
from omakase.core.ranking import rank

CATALOGUE = Catalogue([Item(item_id) for item_id in ("new", "poor", "good", "known")])
COUNTS = Counts(("good", "gone", "poor"), np.array([400.0, 100.0, 500.0]), np.array([40.0, 10.0, 0.5]))
PRIOR = Prior(weight=50.0, informed={"known": (3.0, 7.0), "unheard of": (1.0, 9.0)})
NOTHING = np.empty(0, dtype=np.float32)
ALL = np.arange(4)
# Half a click on one impression, and what is known of items that are not in the catalogue counts for the rate too.
RATE = (50.5 + 4 + 0.5) / (1000 + 20 + 1)


def scorer() -> CountScorer:
    return CountScorer.of(COUNTS, PRIOR, CATALOGUE)


def test_counts_are_added_to_what_was_believed_before() -> None:
    found = scorer()
    assert found.alpha == pytest.approx([50 * RATE, 50 * RATE + 0.5, 50 * RATE + 40, 3])
    assert found.beta == pytest.approx([50 * (1 - RATE), 50 * (1 - RATE) + 499.5, 50 * (1 - RATE) + 360, 7])
    assert found.impressions.tolist() == [0, 500, 400, 0]
    assert found.examples == 1000


def test_mean_and_deviation_are_those_of_the_beta_distributions() -> None:
    found = scorer()
    expected = beta(found.alpha, found.beta)
    assert found.mean(NOTHING) == pytest.approx(expected.mean())
    assert found.deviation(NOTHING, ALL[1:]) == pytest.approx(expected.std()[1:])
    assert found.predicted_click(NOTHING, ALL) == pytest.approx(expected.mean())
    assert found.contributions(NOTHING, 0).size == 0


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_draws_are_of_those_distributions_and_independent(scale: float) -> None:
    found, count = scorer(), 5000
    drawn = found.draw(NOTHING, scale, count, np.random.default_rng(20261122))
    assert (drawn.shape, drawn.dtype) == ((count, 4), np.float32)
    for item in range(4):
        expected = beta(found.alpha[item] / scale**2, found.beta[item] / scale**2)
        assert kstest(drawn[:, item], expected.cdf).pvalue > 1e-3
    # Standard error of a correlation: 1/√5000, four of them allowed.
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 4 / np.sqrt(count)
    for still in (0.0, 1e-200):
        assert found.draw(NOTHING, still, 2, np.random.default_rng(1)).tolist() == [found.mean(NOTHING).tolist()] * 2


def test_thompson_shows_each_item_as_often_as_it_is_the_best_of_a_brute_force_draw() -> None:
    found, rounds = scorer(), 4000
    choice, policy = Choice(np.array([True, True, True, False]), 2), Thompson(1.0, Source.COUNTS)
    rng = np.random.default_rng(20261122)
    counted = np.zeros((2, 4))
    for _ in range(rounds):
        counted[[0, 1], rank(policy, found, NOTHING, choice, rng).indices] += 1
    other = np.random.default_rng(5)
    gammas = [other.gamma(shape, size=(200_000, 3)) for shape in (found.alpha[:3], found.beta[:3])]
    order = np.argsort(-gammas[0] / (gammas[0] + gammas[1]), axis=1)
    expected = np.array([np.bincount(order[:, position], minlength=4) / len(order) for position in (0, 1)])
    # 4000 rounds: a standard error of at most 0.8 %, seed fixed, four of them allowed.
    assert counted / rounds == pytest.approx(expected, abs=0.032)
    assert counted[:, 3].sum() == 0


def test_before_anything_is_counted_all_are_alike_and_no_click_is_predicted() -> None:
    found = CountScorer.of(Counts(), Prior(), CATALOGUE)
    assert len(set(found.mean(NOTHING).tolist())) == 1
    assert found.predicted_click(NOTHING, ALL) is None
    first = [int(found.draw(NOTHING, 1.0, 1, np.random.default_rng(seed)).argmax()) for seed in range(40)]
    assert set(first) == {0, 1, 2, 3}


def test_informed_priors_are_enough_to_predict_by() -> None:
    found = CountScorer.of(Counts(), Prior(informed={"known": (30.0, 970.0)}), CATALOGUE)
    assert found.predicted_click(NOTHING, ALL) == pytest.approx([0.0305, 0.0305, 0.0305, 0.03], abs=1e-4)


def test_an_item_that_was_clicked_more_often_than_it_could_be_seen_misses_nothing() -> None:
    found = CountScorer.of(Counts(("good",), np.array([200.0]), np.array([300.0])), Prior(), CATALOGUE)
    assert 0 < found.rates.min() <= found.rates.max() < 1
    assert (found.beta > 0).all()


@pytest.mark.parametrize(
    ("ids", "seen", "clicked"),
    [
        (("a",), [1.0, 2.0], [1.0]),
        (("a", "a"), [1.0, 2.0], [1.0, 1.0]),
        (("a",), [-1.0], [0.0]),
        (("a",), [np.nan], [0.0]),
        (("a",), [1.0], [np.inf]),
    ],
)
def test_counts_that_cannot_be_are_refused(ids: tuple[str, ...], seen: list[float], clicked: list[float]) -> None:
    with pytest.raises(InvalidInput):
        Counts(ids, np.array(seen), np.array(clicked))
