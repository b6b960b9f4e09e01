"""The demo's promise, kept in memory: two minutes suffice to tell what was learnt from chance.

The same market, features, policy and statistics as in the real run; the services are left out, and a model knows what
happened four seconds ago and earlier.
"""

from __future__ import annotations

import numpy as np
import pytest

from omakase.config.schema import Product
from omakase.core.choices import Choice
from omakase.core.evaluation import Estimate, clustered_rate
from omakase.core.features import cross
from omakase.core.policies import Uniform
from omakase.core.posterior import Statistics
from omakase.core.ranking import rank
from omakase.demo.market import build_market
from omakase.demo.product import MODEL, SLOTS, TREATMENT, product

REQUESTS = 12_000
PER_UPDATE = 200
CONFIG = Product.model_validate(product())


def run(seed: int) -> tuple[Estimate, Estimate]:
    """Click rates of the control and of the treatment after 120 s at 100 requests/s."""
    market, rng = build_market(seed), np.random.default_rng([seed, 99])
    spec = CONFIG.feature_spec(MODEL)
    learner = CONFIG.models[MODEL].compile(spec)
    items = np.stack([spec.encode_item(item.metadata) for item in market.items])
    contexts = [spec.encode_context(context) for context in market.contexts]
    choice = Choice(np.ones(len(items), dtype=np.bool_), SLOTS)
    policies = (Uniform(), CONFIG.policies[CONFIG.placements["home-top"].variants[TREATMENT].policy].compile())
    arm = np.random.default_rng([seed, 98]).integers(2, size=len(contexts))
    clicks, impressions = np.zeros((2, len(contexts)))
    learnt = waiting = Statistics.empty(spec.dimensions)
    for _ in range(REQUESTS // PER_UPDATE):
        scorer = learner.believe(learnt).over([item.item_id for item in market.items], items)
        x, y = [], []
        for _ in range(PER_UPDATE):
            shopper = market.visitor(rng)
            ranked = rank(policies[arm[shopper]], scorer, contexts[shopper], choice, rng)
            clicked = rng.random(SLOTS) < market.click_probabilities(shopper, ranked.indices)
            clicks[shopper] += clicked.sum()
            impressions[shopper] += SLOTS
            if arm[shopper]:
                x += [cross(contexts[shopper], items[i]) for i in ranked.indices]
                y += clicked.tolist()
        outcome = np.array(y, dtype=np.float64)
        learnt = learnt + waiting
        waiting = Statistics.of(np.array(x), {"click": outcome, "reward": outcome}, np.ones(len(y)))
    control, treatment = (clustered_rate(clicks[arm == a], impressions[arm == a]) for a in (0, 1))
    return control, treatment


@pytest.mark.slow
def test_after_two_minutes_the_intervals_are_apart_in_at_least_nine_of_ten_seeds() -> None:
    apart = 0
    for seed in range(10):
        control, treatment = run(seed)
        apart += treatment.low > control.high
    assert apart >= 9
