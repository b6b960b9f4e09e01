"""The account says in words what does not balance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from omakase.core.accounting import Account, Side

BALANCED = Account(
    recorded=10,
    accepted=7,
    parked=1,
    deliveries=Side(10, {"learnt": 2, "unseen": 5}, open=3),
    events=Side(6, {"used": 4, "duplicate": 1}, open=1),
)


def test_a_balanced_account_has_no_faults() -> None:
    assert BALANCED.faults() == []


def test_what_is_on_its_way_is_no_fault() -> None:
    assert replace(BALANCED, recorded=11, accepted=8, unread=2).faults() == []


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (replace(BALANCED, recorded=11), "tracking recorded 11 deliveries, the trainer read 10"),
        (replace(BALANCED, unread=-2), "the trainer has read 2 messages more than the bus ever carried"),
        (replace(BALANCED, accepted=8), "tracking accepted 8 events, the trainer read 6 and 1 wait"),
        (replace(BALANCED, deliveries=Side(10, {"learnt": 2}, 3)), "deliveries: 10 came in, 2 ended, 3 are open"),
        (replace(BALANCED, events=Side(6, {"used": 6}, 1)), "events: 6 came in, 6 ended, 1 are open"),
    ],
)
def test_each_fault_is_named(account: Account, words: str) -> None:
    (fault,) = account.faults()
    assert fault.startswith(words)
