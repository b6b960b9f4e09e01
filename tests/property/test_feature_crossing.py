"""Scores from folded weights equal scores from the crossed vector that nobody builds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from omakase.core.errors import InvalidFeature
from omakase.core.features import Categorical, Cyclic, Embedding, FeatureSpec, Hashed, Numeric, cross, fold_context
from omakase.core.values import facts_of

FACTORS = st.floats(-5, 5, width=32)
SPEC = FeatureSpec(
    item=(Numeric("price", 50.0, 20.0), Categorical("category", ("a", "b")), Embedding("style", 2)),
    context=(Hashed("city", 4), Cyclic("hour", 24.0)),
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=2))


@given(
    st.integers(1, 5).flatmap(
        lambda p: arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.just(p)), elements=FACTORS)
    ),
    st.integers(0, 4).flatmap(lambda m: arrays.arrays(np.float32, m, elements=FACTORS)),
    st.integers(0, 2**32 - 1),
)
def test_folded_scores_equal_the_crossed_product(items, context, seed) -> None:
    n, p = items.shape
    theta = np.random.default_rng(seed).standard_normal(p * (1 + context.size))
    folded = items @ fold_context(theta, context, p)
    direct = np.array([cross(context, items[i]) @ theta for i in range(n)])
    # float32 sums of at most 5 products, whose factors are within 5 · (1 + 4·5) · 4 or so.
    np.testing.assert_allclose(folded, direct, rtol=1e-4, atol=2e-3)


@given(st.dictionaries(st.sampled_from(["price", "category", "style", "city", "hour"]), JSON))
def test_facts_encode_to_finite_factors_or_are_refused_by_name(raw) -> None:
    try:
        facts = facts_of(raw)
        item, context = SPEC.encode_item(facts), SPEC.encode_context(facts)
    except InvalidFeature as error:
        refusal = str(error)
    else:
        refusal = None
    if refusal is not None:
        assert any(repr(name) in refusal for name in raw)
        return
    assert item.shape == (SPEC.item_width,)
    assert context.shape == (SPEC.context_width,)
    assert item[0] == 1.0
    assert np.isfinite(item).all()
    assert np.isfinite(context).all()
