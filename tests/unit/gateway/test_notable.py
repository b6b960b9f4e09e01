"""What the log says of fallbacks and of slow slates."""

from __future__ import annotations

import pytest

from gateway.answers import Recommendation
from gateway.notable import Notable


def slate(request_id: str) -> Recommendation:
    return Recommendation(request_id, "home-top", "learnt", "thompson", None, False, [], [])


def test_a_slow_slate_gets_a_line_and_a_quick_one_none(caplog: pytest.LogCaptureFixture) -> None:
    notable = Notable(slow_s=0.5)
    notable.see(slate("quick"), "", 0.5)
    notable.see(slate("slow"), "", 0.8)
    assert caplog.messages == ["a slow slate at home-top, variant learnt: 800 ms"]
    assert caplog.records[0].request_id == "slow"  # type: ignore[attr-defined]


def test_each_reason_of_fallbacks_has_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    notable = Notable(slow_s=0.5)
    for number, reason in enumerate(("open", "open", "overloaded", "deadline_exceeded")):
        notable.see(slate(f"r{number}"), reason, 0.002)
    assert [one.request_id for one in caplog.records] == ["r0", "r2", "r3"]  # type: ignore[attr-defined]
    assert caplog.messages[0] == "a fallback slate at home-top, variant learnt after 2 ms: open"
