"""Popularity: the same for everybody, and nothing left to chance."""

from __future__ import annotations

import numpy as np
import pytest

from omakase.core.catalogue import Catalogue, Item
from omakase.core.choices import Choice
from omakase.core.context_free import Popularity
from omakase.core.counts import Counts, CountScorer, Prior
from omakase.core.ranking import rank

CATALOGUE = Catalogue([Item(item_id) for item_id in "abcdef"])
COUNTS = Counts(("b", "c", "e"), np.array([1000.0, 1000.0, 1.0]), np.array([10.0, 60.0, 1.0]))
SCORER = CountScorer.of(COUNTS, Prior(), CATALOGUE)
NOTHING = np.empty(0, dtype=np.float32)
RNG = np.random.default_rng(1)


def test_ranks_by_shrunk_click_rates_and_where_they_are_equal_by_the_catalogue() -> None:
    ranking = rank(Popularity(), SCORER, NOTHING, Choice(np.ones(6, dtype=np.bool_), 6), RNG)
    # c is clicked most; one lucky click of one moves e a little; what nobody saw has the placement's rate; b has less.
    assert [CATALOGUE.item_ids[i] for i in ranking.indices] == ["c", "e", "a", "d", "f", "b"]
    rate = 71.5 / 2002
    assert ranking.scores[0] == pytest.approx((60 + 100 * rate) / 1100)
    assert ranking.predicted_click == pytest.approx(ranking.scores)
    assert ranking.propensity == pytest.approx(np.ones(6))


def test_shows_only_what_is_eligible_and_weighs_by_value() -> None:
    eligible = np.array([True, True, False, True, False, False])
    values = np.array([1, 9, 1, 2, 1, 1], dtype=np.float32)
    ranking = rank(Popularity(), SCORER, NOTHING, Choice(eligible, 3, values), RNG)
    assert [CATALOGUE.item_ids[i] for i in ranking.indices] == ["b", "d", "a"]


def test_without_counts_it_says_so() -> None:
    with pytest.raises(ValueError, match="counts"):
        rank(Popularity(), None, NOTHING, Choice(np.ones(6, dtype=np.bool_), 1), RNG)
