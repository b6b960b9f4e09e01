"""Items and contexts together: x, and the weights of one request."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omakase.core.features.encoders import Factor


def cross(context_factor: Factor, item_factor: Factor) -> NDArray[np.float64]:
    """x = [f_item, f_context ⊗ f_item]. Exact: float32 products in float64.

    Shapes: (m,) and (p,) give (p·(1 + m),); (n, m) and (n, p) give n of them.
    """
    rows, p, m = item_factor.shape[:-1], item_factor.shape[-1], context_factor.shape[-1]
    x = np.empty((*rows, 1 + m, p))
    x[..., 0, :] = item_factor
    np.multiply(context_factor.astype(x.dtype)[..., :, np.newaxis], x[..., :1, :], out=x[..., 1:, :])
    return x.reshape(*rows, (1 + m) * p)  # not -1, which numpy cannot tell of no rows


def fold_context(theta: NDArray[np.floating], context_factor: Factor, item_width: int) -> Factor:
    """θ_item + Θᵀ f_context: the weights of one request.

    Shapes: (d,) and (m,) give (p,); (count, d) or (count, m) gives (count, p). Cost: O(d) each.
    """
    crossed = theta[..., item_width:].reshape(*theta.shape[:-1], context_factor.shape[-1], item_width)
    return (theta[..., :item_width] + context_factor @ crossed).astype(np.float32, copy=False)
