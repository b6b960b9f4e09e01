"""Quantiles from few buckets."""

from __future__ import annotations

import numpy as np
import pytest

from omakase.demo.latency import Latencies


def test_quantiles_are_within_nine_per_cent() -> None:
    values = np.random.default_rng(1).lognormal(2.0, 1.0, 5000)
    latencies = Latencies()
    for value in values:
        latencies.add(float(value))
    for q in (0.5, 0.9, 0.99):
        exact = float(np.quantile(values, q, method="inverted_cdf"))
        assert exact <= latencies.quantile(q) <= exact * 1.0906
    assert latencies.count == 5000


@pytest.mark.parametrize("extreme", [0.0, 1e-9, 1e12])
def test_extremes_are_counted_at_the_edges(extreme: float) -> None:
    latencies = Latencies()
    latencies.add(extreme)
    assert latencies.count == 1
    assert 0 < latencies.quantile(0.5) < 2e6


def test_nothing_has_no_quantile() -> None:
    assert Latencies().quantile(0.99) == 0.0
