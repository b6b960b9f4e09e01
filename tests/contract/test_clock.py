"""Contract of the clock."""

import math


def test_tells_unix_seconds(clocks):
    now = clocks.open().now()
    assert isinstance(now, float)
    assert math.isfinite(now)
    assert now > 1.6e9


def test_never_goes_back(clocks):
    clock = clocks.open()
    readings = [clock.now() for _ in range(1000)]
    assert readings == sorted(readings)
