"""What the shoppers say arrives as it was said."""

from __future__ import annotations

import pytest

from omakase.demo.progress import Progress, Served
from omakase.demo.tally import ShopperTally


def test_a_line_reads_back_as_it_was_written() -> None:
    tally = ShopperTally(accepted=7, rejected=1, unknown=3)
    tally.answered("learnt", "home/abc@3", is_fallback=False, at=12.5, latency_ms=4.0)
    tally.shown("learnt", 3, 0.12)
    told = tally.progress(1.5, 99.0, is_final=True)
    line = told.to_json()
    assert "\n" not in line
    assert Progress.from_json(line) == told
    assert told.served["learnt"].expected_ctr == pytest.approx(0.04)


def test_a_version_keeps_the_time_of_its_first_answer() -> None:
    tally = ShopperTally()
    tally.answered("learnt", "home/abc@3", is_fallback=False, at=12.5, latency_ms=4.0)
    tally.answered("learnt", "home/abc@3", is_fallback=True, at=13.5, latency_ms=4.0)
    tally.answered("uniform", "", is_fallback=False, at=14.5, latency_ms=4.0)
    told = tally.progress(2.0, 3.0, is_final=False)
    assert told.first_seen == {"home/abc@3": 12.5}
    assert (told.requests, told.fallbacks) == (3, 1)


def test_variants_without_items_have_no_rate() -> None:
    assert Served().expected_ctr == 0.0


@pytest.mark.parametrize("line", ["", "[]", '{"served": {}, "surprise": 1}', "Traceback"])
def test_anything_else_is_refused(line: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        Progress.from_json(line)
