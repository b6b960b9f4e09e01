"""What is ranked together is ranked as it would be one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from omakase.core.beliefs import LinearBelief
from omakase.core.choices import Choice
from omakase.core.policies import Thompson
from omakase.core.ranking import rank, rank_each

POLICY = Thompson(0.3)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_batch_draws_and_ranks_what_its_requests_would_one_after_the_other(data):
    seed = data.draw(st.integers(0, 2**32))
    b, n, m, p = (data.draw(st.integers(1, most)) for most in (6, 60, 4, 5))
    make = np.random.default_rng(seed)
    d = p * (1 + m)
    numbers = [make.normal(size=shape).astype(np.float32) for shape in ((d,), (d, d), (d,))]
    scorer = LinearBelief(*numbers, examples=1.0).over([], make.normal(size=(n, p)).astype(np.float32))
    contexts = make.normal(size=(b, m)).astype(np.float32)
    values = make.random(n).astype(np.float32) if data.draw(st.booleans()) else None
    choices = [Choice(make.random(n) < 0.8, data.draw(st.integers(1, 12)), values) for _ in range(b)]

    one = np.random.default_rng(seed)
    alone = [rank(POLICY, scorer, context, choice, one) for context, choice in zip(contexts, choices, strict=True)]
    together = rank_each(POLICY, scorer, contexts, choices, np.random.default_rng(seed))

    for a, t in zip(alone, together, strict=True):
        np.testing.assert_allclose(t.scores, a.scores, rtol=1e-3, atol=1e-4)  # as sums in another order differ
        assert a.predicted_click is not None
        assert t.predicted_click is not None
        np.testing.assert_array_equal(np.sort(t.indices), np.sort(a.indices))
        np.testing.assert_allclose(t.predicted_click.sum(), a.predicted_click.sum(), rtol=1e-3, atol=1e-4)
