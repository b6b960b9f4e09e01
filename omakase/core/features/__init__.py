"""From facts to vectors: a frozen specification, compiled once.

An item encodes to `f_item` (p,), which starts with the constant 1; a context encodes to `f_context` (m,). The learner
sees `x = [f_item, f_context ⊗ f_item]` (d,) with d = p·(1 + m), but nobody builds it to rank: with θ = (θ_item, Θ)
every score is `F_items @ (θ_item + Θᵀ f_context)`.

Source: Li et al., "A Contextual-Bandit Approach to Personalized News Article Recommendation", WWW 2010, section 5.2.2,
who cross user and article features the same way.
"""

from omakase.core.features.crossing import cross, fold_context
from omakase.core.features.encoders import Factor, Factors
from omakase.core.features.kinds import (
    MAX_RECENT,
    Categorical,
    Cross,
    Cyclic,
    Embedding,
    Feature,
    Hashed,
    Numeric,
    Recent,
)
from omakase.core.features.spec import DERIVED, FeatureSpec

__all__ = [
    "DERIVED",
    "MAX_RECENT",
    "Categorical",
    "Cross",
    "Cyclic",
    "Embedding",
    "Factor",
    "Factors",
    "Feature",
    "FeatureSpec",
    "Hashed",
    "Numeric",
    "Recent",
    "cross",
    "fold_context",
]
