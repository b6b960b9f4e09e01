"""The books balance, or the run says where they do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from omakase.core.accounting import Account, Side
from omakase.demo.progress import Progress
from omakase.demo.verdict import faults
from tests.unit.demo.frames import ACCOUNT, PROGRESS


def test_a_good_run_has_no_faults() -> None:
    assert faults(ACCOUNT, PROGRESS) == []


def test_unknown_outcomes_widen_what_the_service_may_have_accepted() -> None:
    told = replace(PROGRESS, accepted=PROGRESS.accepted - 3, unknown=3)
    assert faults(ACCOUNT, told) == []
    assert len(faults(ACCOUNT, replace(told, unknown=2))) == 1


def test_a_slate_recorded_but_never_shown_is_no_fault() -> None:
    assert faults(ACCOUNT, replace(PROGRESS, deliveries=PROGRESS.deliveries - 3)) == []


@pytest.mark.parametrize(
    ("account", "progress", "said"),
    [
        (ACCOUNT, replace(PROGRESS, accepted=PROGRESS.accepted + 1), "74561 events"),
        (ACCOUNT, replace(PROGRESS, accepted=PROGRESS.accepted - 1), "74559 events"),
        (ACCOUNT, replace(PROGRESS, deliveries=PROGRESS.deliveries + 1), "72001 deliveries"),
        (ACCOUNT, replace(PROGRESS, is_final=False), "ended early"),
        (replace(ACCOUNT, events=Side(74_560, {"used": 74_550}, 10)), PROGRESS, "10 are open"),
        (replace(ACCOUNT, recorded=72_003), PROGRESS, "72003"),
    ],
)
def test_every_difference_is_named(account: Account, progress: Progress, said: str) -> None:
    found = faults(account, progress)
    assert len(found) == 1
    assert said in found[0]
