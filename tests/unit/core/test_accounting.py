"""The account says in words what does not balance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from omakase.core.accounting import FEATURES, UNDECODABLE, Account, DeadCount, Loaded, Side

BALANCED = Account(
    recorded=10,
    accepted=7,
    parked=1,
    deliveries=Side(10, {"learnt": 2, "unseen": 5}, open=3),
    events=Side(6, {"used": 4, "duplicate": 1}, open=1),
)

CLOSED = replace(BALANCED, events=Side(6, {"used": 5, "duplicate": 1}, open=0))


def test_a_balanced_account_has_no_faults() -> None:
    assert BALANCED.faults() == []


def test_what_is_on_its_way_is_no_fault() -> None:
    assert replace(BALANCED, recorded=11, accepted=8, unread=2).faults() == []


@pytest.mark.parametrize(
    "account",
    [
        replace(BALANCED, loaded=Loaded(10, 6, 2)),
        replace(BALANCED, loaded=Loaded(10, 6, 99)),  # a session is open: its example may have come first
        replace(BALANCED, loaded=Loaded(0, 0, 0, unloaded=4)),
        replace(BALANCED, loaded=Loaded(1, 1, 1, is_whole=False)),
        replace(BALANCED, unread=1, loaded=Loaded(9, 5, 0)),
        replace(BALANCED, loaded=Loaded(7, 6, 2), dead=[DeadCount("deliveries", UNDECODABLE, 2, dropped=1)]),
        replace(BALANCED, loaded=Loaded(10, 6, 2), dead=[DeadCount("events", FEATURES, 2)]),
        replace(BALANCED, clock_ahead_s=59.0),
    ],
)
def test_what_cannot_be_compared_or_is_explained_is_no_fault(account: Account) -> None:
    assert account.faults() == []


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (replace(BALANCED, recorded=11), "tracking recorded 11 deliveries, the trainer read 10"),
        (replace(BALANCED, unread=-2), "the trainer has read 2 messages more than the bus ever carried"),
        (replace(BALANCED, accepted=8), "tracking accepted 8 events, the trainer read 6 and 1 wait"),
        (replace(BALANCED, deliveries=Side(10, {"learnt": 2}, 3)), "deliveries: 10 came in, 2 ended, 3 are open"),
        (replace(BALANCED, events=Side(6, {"used": 6}, 1)), "events: 6 came in, 6 ended, 1 are open"),
        (replace(BALANCED, refused=2), "tracking refused 2 delivery records: see `omakase events dead-letters list`"),
        (replace(BALANCED, damaged=1), "1 segments of a spool are damaged"),
        (replace(BALANCED, clock_ahead_s=61.0), "the trainer has closed sessions as of 61 s from now"),
        (replace(BALANCED, loaded=Loaded(9, 6, 2)), "tracking passed on 10 deliveries, 0 of them undecodable, the w"),
        (replace(BALANCED, loaded=Loaded(10, 7, 2)), "tracking passed on 6 events, 0 of them undecodable, the wareh"),
        (replace(CLOSED, loaded=Loaded(10, 6, 3)), "the trainer learnt from 2 deliveries, the warehouse has examples"),
        (replace(BALANCED, loaded=Loaded(10, 6, 2, unloaded=-3)), "the warehouse has 3 messages more than"),
    ],
)
def test_each_fault_is_named(account: Account, words: str) -> None:
    (fault,) = account.faults()
    assert fault.startswith(words)
