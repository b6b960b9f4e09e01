"""What a logistic model believes, made ready to serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from omakase.core.beliefs import Factors, LinearBelief, LinearScorer, Scores
from omakase.core.choices import Choice
from omakase.core.features import Factor, fold_context
from omakase.core.posterior import Posterior
from omakase.core.top import Indices

# exp of the negative stays finite in float32.
_MOST_LOG_ODDS = np.float32(80.0)


@dataclass(frozen=True, slots=True)
class LogisticBelief:
    """A posterior over θ in log odds, laid out like a linear model's."""

    log_odds: LinearBelief

    @classmethod
    def of(cls, posterior: Posterior, examples: float) -> LogisticBelief:
        mean = posterior.mean.astype(np.float32)
        deviations = np.ascontiguousarray(posterior.deviation_map(), dtype=np.float32)
        return cls(LinearBelief(mean, deviations, mean, examples))

    def over(self, item_ids: Sequence[str], factors: Factors) -> LogisticScorer:
        """See Belief. Cost: none; the ids do not matter to a shared model."""
        return LogisticScorer(self.log_odds.over(item_ids, factors))


@dataclass(frozen=True, slots=True)
class LogisticScorer:
    """Scores are chances of a click, so that a score times an item's value is worth something.

    Items above 17 in log odds tie at 1: float32 ends there. Below, they are told apart down to -80.
    """

    log_odds: LinearScorer

    @property
    def examples(self) -> float:
        """See Scorer."""
        return self.log_odds.examples

    def draw(
        self, context: Factor, scale: float, count: int, rng: np.random.Generator, choice: Choice | None = None
    ) -> Scores:
        """See Scorer. Cost: that of a linear model's, and O(count·n) for as many exponentials."""
        return _chances(self.log_odds.draw(context, scale, count, rng))

    def mean(self, context: Factor) -> Scores:
        """See Scorer. It is the chance at the mean, not the mean of the chances: see `predicted_click`."""
        return _chances(self.log_odds.mean(context))

    def deviation(self, context: Factor, indices: Indices) -> NDArray[np.float64]:
        """See Scorer. To first order, so that a draw of scale s deviates s times as much: exact where little is unsure.

        Cost: O(k·d²).
        """
        chances = expit(self.log_odds.mean(context)[indices].astype(np.float64))
        deviations: NDArray[np.float64] = chances * (1.0 - chances) * self.log_odds.deviation(context, indices)
        return deviations

    def predicted_click(self, context: Factor, indices: Indices) -> NDArray[np.float64] | None:
        """See Scorer: none before the first example.

        The chance at the mean: because the intercept is free, these sum to the clicks that were learnt. Moderated by
        the variance (MacKay 1992) rare clicks would be predicted too often, for the Laplace approximation has as long a
        tail above as below, and the posterior has not.
        """
        if not self.examples:
            return None
        factors = self.log_odds.factors
        weights = fold_context(self.log_odds.belief.mean, context, factors.shape[1])
        return np.asarray(expit(factors[indices].astype(np.float64) @ weights))

    def contributions(self, context: Factor, index: int) -> NDArray[np.float64]:
        """See Scorer: to the log odds of a click."""
        return self.log_odds.contributions(context, index)


def _chances(log_odds: Scores) -> Scores:
    """σ. Shapes: as given. Cost: O(n), about 3 ns an item."""
    chances: Scores = np.clip(log_odds, -_MOST_LOG_ODDS, _MOST_LOG_ODDS)
    np.negative(chances, out=chances)
    np.exp(chances, out=chances)
    chances += 1.0
    return np.reciprocal(chances, out=chances)
