"""The hidden world of the demo: what shoppers would click, which no service ever sees.

A shopper examines a slot with a chance that falls with its position and then clicks with the item's attraction, so
P(click | shopper, item, position) = examination(position) · attraction(shopper, item). Attraction grows exponentially
with a bounded utility. Most of that utility follows from facts the service is told (segment, device, age against
category, price, style); the rest is personal taste and item quality, which it is not. A linear model therefore comes
close, and never all the way.

Source: the examination hypothesis, Richardson et al., "Predicting Clicks", WWW 2007, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from omakase.core.catalogue import Item
from omakase.core.values import Facts

Vector: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]

CATEGORIES = ("bowls", "knives", "linen", "sake", "tea")
SEGMENTS = ("cook", "gift", "home")
DEVICES = ("android", "desktop", "ios")
STYLE_DIMENSIONS = 2
ITEMS = 50
SHOPPERS = 4000
EXAMINATION = (1.0, 0.8, 0.6)

UNIFORM_CTR = 0.015
BEST_CTR = 0.055
_UTILITY_BOUND = 3.0
_AGE_MEAN, _AGE_SPREAD = 40.0, 12.0


@dataclass(frozen=True)
class Market:
    """Items, shoppers and the truth about them.

    Shapes: attraction (shoppers, items), P(click | examined); activity (shoppers,), each one's share of all visits;
    examination (slots,), falling.
    """

    items: tuple[Item, ...]
    contexts: tuple[Facts, ...]
    attraction: Matrix
    activity: Vector
    examination: Vector

    @cached_property
    def index(self) -> dict[str, int]:
        return {item.item_id: i for i, item in enumerate(self.items)}

    @cached_property
    def _visits_up_to(self) -> Vector:
        return np.cumsum(self.activity)

    def visitor(self, rng: np.random.Generator) -> int:
        """Who comes next, by activity."""
        drawn = int(np.searchsorted(self._visits_up_to, rng.random(), side="right"))
        return min(drawn, len(self.contexts) - 1)

    def click_probabilities(self, shopper: int, slate: Indices) -> Vector:
        """P(click) of each item where it stands. Shapes: slate (k,) item indices, first position first, k <= slots."""
        probabilities: Vector = self.attraction[shopper, slate] * self.examination[: len(slate)]
        return probabilities

    @property
    def uniform_ctr(self) -> float:
        """Exact clicks per impression of slates drawn uniformly, over the population as it visits."""
        return float(self.activity @ self.attraction.mean(axis=1) * self.examination.mean())

    @property
    def best_ctr(self) -> float:
        """Exact clicks per impression of whoever knows every taste: nobody can do better."""
        return best_ctr(self.attraction, self.activity, self.examination)


def best_ctr(attraction: Matrix, activity: Vector, examination: Vector) -> float:
    """Clicks per impression of the best slate of each shopper: the most attractive items where most look."""
    k = examination.size
    top = -np.sort(-np.partition(attraction, -k, axis=1)[:, -k:], axis=1)
    return float(activity @ (top @ examination) / k)


def build_market(seed: int, shoppers: int = SHOPPERS) -> Market:
    """A world of its own for every seed, calibrated to UNIFORM_CTR and BEST_CTR. Deterministic. Cost: about 0.3 s."""
    rng = np.random.default_rng([seed, 0])
    category = rng.permutation(np.arange(ITEMS) % len(CATEGORIES))
    price = rng.lognormal(3.3, 0.6, ITEMS)
    style = rng.standard_normal((ITEMS, STYLE_DIMENSIONS))
    segment = rng.integers(len(SEGMENTS), size=shoppers)
    device = rng.integers(len(DEVICES), size=shoppers)
    age = np.clip(rng.normal(_AGE_MEAN, _AGE_SPREAD, shoppers), 18, 80).round()
    activity = rng.lognormal(0.0, 0.5, shoppers)
    activity /= activity.sum()
    utility = _told(rng, category, price, style, segment, device, age) + _untold(rng, style, shoppers)
    examination = np.array(EXAMINATION)
    return Market(
        items=_items(category, price, style),
        contexts=tuple(
            {"segment": SEGMENTS[s], "device": DEVICES[d], "age": float(a)}
            for s, d, a in zip(segment, device, age, strict=True)
        ),
        attraction=_calibrate(utility, activity, examination),
        activity=activity,
        examination=examination,
    )


def _told(
    rng: np.random.Generator,
    category: Indices,
    price: Vector,
    style: Matrix,
    segment: Indices,
    device: Indices,
    age: Vector,
) -> Matrix:
    """The part of the utility that follows from what the service is told. Shapes: (shoppers, items)."""
    expensive = (np.log(price) - 3.3) / 0.6
    older = (age - _AGE_MEAN) / _AGE_SPREAD
    by_segment = rng.standard_normal((len(SEGMENTS), len(CATEGORIES)))
    by_device = 0.4 * rng.standard_normal((len(DEVICES), len(CATEGORIES)))
    taste = 0.6 * rng.standard_normal((len(SEGMENTS), STYLE_DIMENSIONS))
    thrift = rng.normal(0.0, 0.3)
    wealth = rng.normal(0.0, 0.3)
    return (
        by_segment[segment][:, category]
        + by_device[device][:, category]
        + taste[segment] @ style.T
        + np.outer(thrift + wealth * older, expensive)
    )


def _untold(rng: np.random.Generator, style: Matrix, shoppers: int) -> Matrix:
    """The part that nobody tells: personal taste, the quality of an item, whims. Shapes: (shoppers, items)."""
    personal = 0.3 * rng.standard_normal((shoppers, STYLE_DIMENSIONS))
    quality = 0.3 * rng.standard_normal(len(style))
    whim = 0.2 * rng.standard_normal((shoppers, len(style)))
    return personal @ style.T + quality + whim


def _calibrate(utility: Matrix, activity: Vector, examination: Vector) -> Matrix:
    """Attraction with the promised rates: bisect the strength of tastes, for it alone decides best over uniform."""
    bounded = _UTILITY_BOUND * np.tanh((utility - utility.mean()) / utility.std() / _UTILITY_BOUND)
    wanted = BEST_CTR / UNIFORM_CTR
    low, high = 0.0, 3.0
    for _ in range(30):
        strength = (low + high) / 2
        attraction = _with_mean(np.exp(strength * bounded), activity, examination)
        if best_ctr(attraction, activity, examination) / UNIFORM_CTR < wanted:
            low = strength
        else:
            high = strength
    return _with_mean(np.exp(low * bounded), activity, examination)


def _with_mean(appeal: Matrix, activity: Vector, examination: Vector) -> Matrix:
    mean = float(activity @ appeal.mean(axis=1) * examination.mean())
    return appeal * (UNIFORM_CTR / mean)


def _items(category: Indices, price: Vector, style: Matrix) -> tuple[Item, ...]:
    return tuple(
        Item(
            item_id=f"{CATEGORIES[category[i]]}-{i:02d}",
            metadata={
                "category": CATEGORIES[category[i]],
                "log_price": float(np.log(price[i]).round(3)),
                "style": tuple(float(part) for part in style[i].round(3)),
            },
            value=float(price[i].round(2)),
        )
        for i in range(len(category))
    )
