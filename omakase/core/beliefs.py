"""What a model believes, made ready to serve.

A belief is made once per snapshot; bound to the items of one catalogue it is a scorer, which every request reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from omakase.core.choices import Choice
from omakase.core.errors import Corrupt
from omakase.core.features import Factor, cross, fold_context
from omakase.core.posterior import Posterior, Statistics, Vector, factor_of
from omakase.core.top import Indices

Factors: TypeAlias = NDArray[np.float32]
Scores: TypeAlias = NDArray[np.float32]

# So many draws pay for folding the context into the deviations.
_MANY = 8


class Scorer(Protocol):
    """Scores the n items of one catalogue for a context. Shapes: context is (m,)."""

    @property
    def examples(self) -> float:
        """How much was learnt: an effective number of examples."""

    def draw(
        self, context: Factor, scale: float, count: int, rng: np.random.Generator, choice: Choice | None = None
    ) -> Scores:
        """`count` independent draws of what every item is worth, with `scale` times the posterior's deviation.

        Shapes: (count, n). One draw is one joint sample: items that are alike score alike in it. With a `choice`, what
        is not among the best that it asks for may have any score that is no higher than theirs.
        """

    def mean(self, context: Factor) -> Scores:
        """What every item is expected to be worth. Shapes: (n,)."""

    def deviation(self, context: Factor, indices: Indices) -> NDArray[np.float64]:
        """The standard deviations of draws of scale 1. Shapes: indices and the result (k,)."""

    def predicted_click(self, context: Factor, indices: Indices) -> NDArray[np.float64] | None:
        """Probabilities of a click where it is looked at; None where a model has none. Shapes: (k,)."""

    def contributions(self, context: Factor, index: int) -> NDArray[np.float64]:
        """What each coordinate of x adds to the item's mean. Shapes: (d,)."""


class Belief(Protocol):
    """What a model believes, whatever the catalogue."""

    def over(self, item_ids: Sequence[str], factors: Factors) -> Scorer:
        """Bind to the n items of a catalogue. Shapes: factors (n, p), contiguous."""


@dataclass(frozen=True, slots=True)
class LinearBelief:
    """A posterior over θ in float32, laid out for one matrix-vector product per draw.

    Shapes: mean and click_mean (d,), deviations (d, d). Raises: Corrupt if a number does not fit float32.
    """

    mean: Factor
    deviations: NDArray[np.float32]
    click_mean: Factor
    examples: float

    def __post_init__(self) -> None:
        if not all(np.isfinite(numbers).all() for numbers in (self.mean, self.deviations, self.click_mean)):
            raise Corrupt("what is believed is not finite, or too large to be served")

    @classmethod
    def of(cls, statistics: Statistics, prior_precision: float | Vector, noise: float | None = None) -> LinearBelief:
        """`noise` goes before what is estimated. Shapes: prior_precision is one number, or (d,).

        Raises: Corrupt if the statistics are not those of real examples.
        """
        factor = factor_of(statistics, prior_precision)
        reward = Posterior.of(statistics, "reward", prior_precision, factor)
        click = Posterior.of(statistics, "click", prior_precision, factor)
        if noise is not None:
            reward = replace(reward, noise=noise)
        return cls(
            reward.mean.astype(np.float32),
            np.ascontiguousarray(reward.deviation_map(), dtype=np.float32),
            click.mean.astype(np.float32),
            statistics.weight,
        )

    def over(self, item_ids: Sequence[str], factors: Factors) -> LinearScorer:
        """See Belief. Cost: none; the ids do not matter to a shared model."""
        return LinearScorer(self, factors)


@dataclass(frozen=True, slots=True)
class LinearScorer:
    """Scorer of a shared linear model: the context is folded into θ, so that a draw is one product over the items."""

    belief: LinearBelief
    factors: Factors

    @property
    def examples(self) -> float:
        """See Scorer."""
        return self.belief.examples

    def weights(self, context: Factor, scale: float, count: int, rng: np.random.Generator) -> Factors:
        """The drawn θ with the context folded in: scores are factors @ weightsᵀ. Shapes: (count, p).

        Cost: O(count·d²); of many draws O(d² + d·p² + count·p²), for they are drawn where the context is folded in.
        """
        belief = self.belief
        if count < _MANY:
            z = rng.standard_normal((count, belief.mean.size), dtype=np.float32)
            theta = belief.mean + np.float32(scale) * (z @ belief.deviations.T)
            return fold_context(theta, context, self.factors.shape[1])
        spread = self._folded_deviations(context)
        z = rng.standard_normal((count, spread.shape[1]), dtype=np.float32)
        drawn: Factors = fold_context(belief.mean, context, self.factors.shape[1]) + np.float32(scale) * (z @ spread.T)
        return drawn

    def weights_each(self, contexts: NDArray[np.float32], scale: float, rng: np.random.Generator) -> Factors:
        """As `weights`, one draw for each context. Shapes: contexts (b, m); the result (b, p). Cost: O(b·d²)."""
        belief, width = self.belief, self.factors.shape[1]
        z = rng.standard_normal((len(contexts), belief.mean.size), dtype=np.float32)
        theta = belief.mean + np.float32(scale) * (z @ belief.deviations.T)
        crossed = theta[:, width:].reshape(*contexts.shape, width)
        folded: Factors = theta[:, :width] + np.matmul(contexts[:, np.newaxis], crossed)[:, 0]
        return folded

    def _folded_deviations(self, context: Factor) -> Factors:
        """What turns standard normal z into deviations of the weights. Shapes: (p, p); (p, d) where rounding has it."""
        width, d = self.factors.shape[1], self.belief.mean.size
        own, crossed = self.belief.deviations[:width], self.belief.deviations[width:]
        folded = own + (context @ crossed.reshape(context.size, width * d)).reshape(width, d)
        try:
            return np.linalg.cholesky(np.inner(folded.astype(np.float64), folded)).astype(np.float32)
        except np.linalg.LinAlgError:
            return folded

    def draw(
        self, context: Factor, scale: float, count: int, rng: np.random.Generator, choice: Choice | None = None
    ) -> Scores:
        """See Scorer. Cost: that of the weights and O(count·n·p)."""
        weights = self.weights(context, scale, count, rng)
        if count == 1:  # a matrix-vector product reads the matrix faster than a product of one row does
            scores: Scores = self.factors @ weights[0]
            return scores[np.newaxis]
        return weights @ self.factors.T

    def mean(self, context: Factor) -> Scores:
        """See Scorer. Cost: O(d + n·p)."""
        return self.factors @ fold_context(self.belief.mean, context, self.factors.shape[1])

    def deviation(self, context: Factor, indices: Indices) -> NDArray[np.float64]:
        """See Scorer. Cost: O(k·d²)."""
        x = cross(np.broadcast_to(context, (indices.size, context.size)), self.factors[indices])
        deviations: NDArray[np.float64] = np.linalg.norm(x @ self.belief.deviations.astype(np.float64), axis=1)
        return deviations

    def predicted_click(self, context: Factor, indices: Indices) -> NDArray[np.float64] | None:
        """See Scorer."""
        return self.predicted_clicks(context[np.newaxis], [indices])[0]

    def predicted_clicks(self, contexts: NDArray[np.float32], indices: Sequence[Indices]) -> list[NDArray[np.float64]]:
        """As `predicted_click`, for each context. Shapes: contexts (b, m); indices b, (k,) each."""
        weights = fold_context(self.belief.click_mean, contexts, self.factors.shape[1])
        expected = [(self.factors[of] @ row).astype(np.float64) for of, row in zip(indices, weights, strict=True)]
        for chances in expected:  # np.clip takes twice as long as all the rest
            np.minimum(np.maximum(chances, 0.0, out=chances), 1.0, out=chances)
        return expected

    def contributions(self, context: Factor, index: int) -> NDArray[np.float64]:
        """See Scorer."""
        return cross(context, self.factors[index]) * self.belief.mean
