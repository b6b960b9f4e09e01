"""What a per-item model believes: each item has weights of its own, and of a new one the shared model says which.

With z = [1, f_context] the shared θ says that item i's weights are W·f_i, so that x·θ = zᵀW·f_i. Here they are
β_i ~ N(W·f_i, τ²·I), and what is learnt of the item itself moves them from there:

    P_i = λ·I + A_i,   mean_i = P_i⁻¹(λ·W·f_i + b_i),   β_i ~ N(mean_i, noise²·P_i⁻¹),   λ = noise² / τ²

Source: Aouali, Kveton & Katariya, "Mixed-Effect Thompson Sampling", AISTATS 2023; Hong, Kveton et al., "Hierarchical
Bayesian Bandits", AISTATS 2022: first W is drawn, then each item's β given W. We deviate in W's posterior, which is
that of the shared model, as if the items had no weights of their own; and in that an item heeds a drawn W by the share
of the prior in its variance along z, λ·zᵀP⁻¹z / zᵀz, which is exact for a new item and where P is a multiple of I.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from omakase.core.beliefs import Factors, LinearBelief, LinearScorer, Scores
from omakase.core.choices import Choice
from omakase.core.errors import InvalidInput
from omakase.core.features import Factor, cross, fold_context
from omakase.core.item_draws import Drawn, heeded
from omakase.core.item_ids import UNKNOWN, ItemIds
from omakase.core.item_posteriors import ItemPosteriors, Variances, product
from omakase.core.item_statistics import ItemOutcome, Matrix, Places, Vector, diagonal
from omakase.core.posterior import Posterior, Statistics, factor_of
from omakase.core.top import Indices

Numbers: TypeAlias = NDArray[np.float32]

# By how much of the mean reward items of the same features differ, as a standard deviation.
_SPREAD = 0.15
_MIN_PRECISION, _MAX_PRECISION = 1.0, 2.0**20
# Before there is data: so many examples of a click rate of about 5 %.
_PRIOR_EXAMPLES, _PRIOR_RATE = 20.0, 0.05
# Bounds pay where z has so many numbers that are not 0, and leave at most this share of the items.
_WIDE, _FEW = 32, 0.5


@dataclass(frozen=True, slots=True)
class ItemBelief:
    """The shared posterior and those of the items that were learnt of, whatever the catalogue.

    Shapes: reward_mean and click_mean (d,), the shared means in float64.
    """

    shared: LinearBelief
    items: ItemPosteriors
    reward_mean: Vector
    click_mean: Vector
    noise: float
    is_noise_given: bool

    @classmethod
    def of(
        cls,
        state: Statistics,
        prior_precision: float,
        item_prior_precision: float | None = None,
        noise: float | None = None,
        before: ItemBelief | None = None,
    ) -> ItemBelief:
        """`noise` and `item_prior_precision` go before what is estimated. What is as `before` is not factored again.

        Raises: Corrupt if the statistics are not those of real examples.
        """
        factor = factor_of(state, prior_precision)
        reward = Posterior.of(state, "reward", prior_precision, factor)
        click = Posterior.of(state, "click", prior_precision, factor)
        spread = reward.noise if noise is None else noise
        precision = item_prior_precision or precision_of_items(state, spread)
        items = ItemPosteriors.of(state.items, precision, None if before is None else before.items)
        deviations = np.ascontiguousarray(spread / reward.noise * reward.deviation_map(), dtype=np.float32)
        shared = LinearBelief(reward.mean.astype(np.float32), deviations, click.mean.astype(np.float32), state.weight)
        return cls(shared, items, reward.mean, click.mean, spread, noise is not None)

    def over(self, item_ids: Sequence[str], factors: Factors) -> ItemScorer:
        """See Belief. Items that nothing was learnt of are as the prior says; those that are gone cost nothing.

        Cost: O(k·q²) for the k items of the catalogue that something was learnt of, whatever the others.
        Raises: InvalidInput if the factors are not of the model's width.
        """
        sums = self.items.items
        q, left = divmod(self.reward_mean.size, max(factors.shape[1], 1))
        if left or (sums.item_ids and q != sums.width):
            raise InvalidInput(
                f"factors of {factors.shape[1]} do not fit a model of {self.reward_mean.size} dimensions"
            )
        found = (item_ids if isinstance(item_ids, ItemIds) else ItemIds(item_ids)).places(sums.item_ids)
        places = np.flatnonzero(found != UNKNOWN)
        places = places[np.argsort(found[places])]
        known = found[places]
        means, residual = self._means("reward", self.reward_mean, places, factors[known], q)
        clicks = means if self._rewards_clicks else self._means("click", self.click_mean, places, factors[known], q)[0]
        # Residuals about the items' own means where these are; _PRIOR_EXAMPLES about the shared one.
        weight = float(sums.weights[places].sum()) + _PRIOR_EXAMPLES
        noise = self.noise
        if not self.is_noise_given:
            noise = float(np.sqrt((max(residual, 0.0) + _PRIOR_EXAMPLES * noise**2) / max(weight, _PRIOR_EXAMPLES)))
        variances = self.items.variances(places) if known.size else NO_VARIANCES
        return ItemScorer(
            self.shared,
            factors,
            known,
            means.astype(np.float32),
            clicks.astype(np.float32),
            variances,
            self.items.prior_precision,
            noise,
        )

    @property
    def _rewards_clicks(self) -> bool:
        """Whether the reward is the click, as by default: then one look at the items is enough for both."""
        click, reward = (self.items.items.outcomes.get(name) for name in ("click", "reward"))
        if click is None or reward is None:
            return click is reward
        same = np.array_equal(click.moments, reward.moments)
        return same and np.array_equal(self.click_mean, self.reward_mean)

    def _means(self, name: str, theta: Vector, places: Places, factors: Factors, q: int) -> tuple[Matrix, float]:
        """Of some items, and what is left of Σ w·y² about them, with what the prior asks for deviating from it."""
        prior = factors.astype(np.float64) @ theta.reshape(q, -1).T
        if not places.size:
            return prior, 0.0
        sums = self.items.items
        nothing = ItemOutcome(np.zeros((len(sums.item_ids), q)), np.zeros(len(sums.item_ids)))
        outcome = sums.outcomes.get(name, nothing)
        moments = outcome.moments[places]
        # P⁻¹(λ·W·f + b) = W·f + P⁻¹(b - A·W·f): an error in P⁻¹ is one in what the item differs by.
        unexplained = moments - product(sums.precision, places, prior)
        means = prior + self.items.solved(places, unexplained)
        explained = np.vdot(prior, moments) + np.vdot(means, unexplained)
        return means, float(outcome.energies[places].sum() - explained)


def precision_of_items(state: Statistics, noise: float) -> float:
    """λ = noise² / τ², where τ²·E[zᵀz] is the square of a share of the mean reward.

    So items differ by as much for whoever looks, however many features a context has and whatever the base rate is.
    Rounded to a power of two, so that a belief can be made from the one before: half or double matters little.
    """
    reward, items = state.outcomes.get("reward"), state.items
    seen, total = (0.0, 0.0) if reward is None else (float(state.precision[0, 0]), float(reward.moment[0]))
    mean = abs(total + _PRIOR_EXAMPLES * _PRIOR_RATE) / (max(seen, 0.0) + _PRIOR_EXAMPLES)
    squares = float(items.precision[:, diagonal(items.width)].sum()) + _PRIOR_EXAMPLES
    precision = squares / (max(seen, 0.0) + _PRIOR_EXAMPLES) * (noise / max(_SPREAD * mean, 1e-12)) ** 2
    return float(2.0 ** np.round(np.log2(np.clip(precision, _MIN_PRECISION, _MAX_PRECISION))))


_NOTHING = np.empty(0, np.float32)
NO_VARIANCES = Variances(
    np.empty((0, 1), np.float32), np.empty(0, np.intp), np.empty((0, 1, 1), np.float32), _NOTHING, _NOTHING
)


@dataclass(frozen=True, slots=True)
class ItemScorer:
    """Scorer of a per-item model. Draws are in the space of scores: one normal number an item stands for all of β_i.

    Shapes: known (k,), ascending, the items that something was learnt of; means and click_means (k, q).
    """

    shared: LinearBelief
    factors: Factors
    known: Places
    means: Numbers
    click_means: Numbers
    variances: Variances
    prior_precision: float
    noise: float

    @property
    def examples(self) -> float:
        """See Scorer."""
        return self.shared.examples

    def draw(
        self, context: Factor, scale: float, count: int, rng: np.random.Generator, choice: Choice | None = None
    ) -> Scores:
        """See Scorer. Cost: O(k·q² + count·(d² + n·p)); with a `choice` and a wide z, q² for few of them."""
        z = _with_one(context)
        drawn = Drawn(
            self.mean(context),
            np.float32(scale * self.noise) * rng.standard_normal((count, len(self.factors)), dtype=np.float32),
            self._drawn_prior(context, scale, count, rng),
            self.prior_precision,
        )
        if choice is not None and count == 1 and np.count_nonzero(z) >= _WIDE:
            least, most = self._bounds()
            near = drawn.near(z, least, most, choice)
            if near.size < _FEW * len(self.factors):
                return drawn.bounded(z, near, self._variances(z, near))
        return drawn.scores(z, self._variances(z))

    def mean(self, context: Factor) -> Scores:
        """See Scorer. Cost: O(d + n·p + k·q)."""
        return self._blend(self.shared.mean, self.means, _with_one(context))

    def deviation(self, context: Factor, indices: Indices) -> NDArray[np.float64]:
        """See Scorer. Cost: O(k·q² + d²) for each index."""
        z = _with_one(context)
        variances = self._variances(z)[indices].astype(np.float64)
        x = cross(np.broadcast_to(context, (indices.size, context.size)), self.factors[indices])
        shared = np.linalg.norm(x @ self.shared.deviations.astype(np.float64), axis=1)
        shares = self._shared_part(z, variances)
        deviations: NDArray[np.float64] = np.sqrt(self.noise**2 * variances + (shares * shared) ** 2)
        return deviations

    def predicted_click(self, context: Factor, indices: Indices) -> NDArray[np.float64] | None:
        """See Scorer."""
        clicks = self._blend(self.shared.click_mean, self.click_means, _with_one(context))
        return np.clip(clicks[indices].astype(np.float64), 0.0, 1.0)

    def contributions(self, context: Factor, index: int) -> NDArray[np.float64]:
        """See Scorer. Behind those of x stand the item's own, by coordinate of z: all of them sum to the mean.

        Shapes: (d + q,).
        """
        factor = self.factors[index]
        shared = cross(context, factor) * self.shared.mean
        place = int(np.searchsorted(self.known, index))
        own = np.zeros(1 + context.size)
        if place < self.known.size and self.known[place] == index:
            prior = self.shared.mean.reshape(own.size, -1).astype(np.float64) @ factor
            own = (self.means[place] - prior) * _with_one(context)
        return np.concatenate([shared, own])

    def weights(self, index: int) -> tuple[Vector, Vector]:
        """An item's own weights of a click, by coordinate of z: their means, and deviations of draws of scale 1.

        Shapes: both (q,).
        """
        units = np.eye(self.shared.mean.size // self.factors.shape[1], dtype=np.float32)
        means = [self._blend(self.shared.click_mean, self.click_means, unit)[index] for unit in units]
        deviations = [self.noise * math.sqrt(self._variances(unit)[index]) for unit in units]
        return np.array(means, dtype=np.float64), np.array(deviations)

    def _blend(self, theta: Factor, means: Numbers, z: Numbers) -> Scores:
        """What the items' own weights say, and of those without any the shared ones. Shapes: (n,)."""
        if self.known.size == len(self.factors):
            return means @ z
        scores: Scores = self.factors @ (z @ theta.reshape(z.size, -1))
        scores[self.known] = means @ z
        return scores

    def _variances(self, z: Numbers, some: Indices | None = None) -> Numbers:
        """zᵀP⁻¹z, of all items or of some. Shapes: (n,), or some's; those ascend."""
        if self.known.size and self.known.size == len(self.factors):
            return (self.variances if some is None else self.variances.of(some)).along(z)
        variances = np.full(len(self.factors) if some is None else some.size, z @ z / self.prior_precision, np.float32)
        if some is None and self.known.size:
            variances[self.known] = self.variances.along(z)
        elif some is not None and self.known.size:
            places = np.minimum(np.searchsorted(self.known, some), self.known.size - 1)
            is_known = self.known[places] == some
            variances[is_known] = self.variances.of(places[is_known]).along(z)
        return variances

    def _bounds(self) -> tuple[Numbers, Numbers]:
        """Below and above zᵀP⁻¹z / zᵀz, whatever z. Shapes: (n,)."""
        if self.known.size == len(self.factors):
            return self.variances.least, self.variances.most
        least = np.full(len(self.factors), 1.0 / self.prior_precision, np.float32)
        most = least.copy()
        least[self.known], most[self.known] = self.variances.least, self.variances.most
        return least, most

    def _shared_part(self, z: Numbers, variances: NDArray[np.floating]) -> NDArray[np.floating]:
        return heeded(variances, z, self.prior_precision)

    def _drawn_prior(self, context: Factor, scale: float, count: int, rng: np.random.Generator) -> Scores:
        """Deviations of W·f_i along z. Shapes: (count, n)."""
        shared = LinearScorer(self.shared, self.factors)
        drawn = shared.weights(context, scale, count, rng)
        deviations: Factors = drawn - fold_context(self.shared.mean, context, self.factors.shape[1])
        return deviations @ self.factors.T


def _with_one(context: Factor) -> Numbers:
    return np.concatenate([np.ones(1, np.float32), context])
