"""Contract of dead letters, and of the tick that brings and takes them."""

from __future__ import annotations

from collections import Counter

import pytest

from omakase import adapters
from omakase.core.accounting import DELIVERIES, EVENTS, FEATURES, RECEIVED, UNDECODABLE, DeadCount
from omakase.ports.dead_letters import DeadLetter
from omakase.ports.training_state import Progress, Tick


def letter(n: int, **changes) -> DeadLetter:
    fields = {"kind": EVENTS, "units": 1, "received_at": float(n), "body": b"body %d" % n, "reason": UNDECODABLE}
    return DeadLetter(**{"key": n.to_bytes(16, "big"), "detail": "why", **fields, **changes})


class Trainer:
    """Ticks that only bring letters and read messages."""

    def __init__(self, uri: str) -> None:
        self.state = adapters.open_training_state(uri)
        self.number = 0

    def tick(self, *dead: DeadLetter, replays: tuple[bytes, ...] = (), received: int = 0) -> None:
        self.number += 1
        tally = Counter({(EVENTS, RECEIVED): received, (EVENTS, "used"): received})
        self.state.commit(Tick(Progress(self.number, 0), {}, tally, dead=dead, replays=replays))

    def account(self) -> tuple[int, dict[str, int]]:
        events = self.state.account()[1]
        assert events.is_balanced
        return events.total, dict(events.ends)


@pytest.fixture
def letters(dead_letters):
    return dead_letters.open()


@pytest.fixture
def trainer(dead_letters):
    return Trainer(dead_letters.uri)


def test_are_none_at_first(letters):
    assert (list(letters.read()), letters.counts(), letters.find(b"k" * 16)) == ([], [], None)


def test_come_with_a_tick_as_they_are(letters, trainer):
    sent = letter(1), letter(2, kind=DELIVERIES, units=5, reason=FEATURES, body=b"\x00\xff")
    trainer.tick(*sent)
    assert list(letters.read()) == [sent[1], sent[0]]
    assert list(letters.read(FEATURES)) == [sent[1]]
    assert letters.find(sent[0].key) == sent[0]
    assert letters.counts() == [DeadCount(DELIVERIES, FEATURES, 5), DeadCount(EVENTS, UNDECODABLE, 1)]


def test_many_are_read_the_newest_first(letters, trainer):
    trainer.tick(*(letter(n) for n in range(1000)))
    assert [found.received_at for found in letters.read()] == [float(n) for n in reversed(range(1000))]


def test_a_letter_goes_with_the_tick_that_used_its_replay_and_counts_once(letters, trainer):
    trainer.tick(letter(1), letter(2))
    assert trainer.account() == (2, {"rejected": 2})
    trainer.tick(replays=(letter(1).next_key,), received=1)
    assert list(letters.read()) == [letter(2)]
    assert trainer.account() == (2, {"used": 1, "rejected": 1})


def test_a_replay_that_cannot_be_used_either_takes_over_what_its_letter_stood_for(letters, trainer):
    first = letter(1, kind=DELIVERIES, units=3)
    trainer.tick(first)
    again = letter(9, kind=DELIVERIES, units=0, received_at=99.0)
    again = DeadLetter(first.next_key, again.kind, 0, 99.0, again.body, again.reason, again.detail)
    trainer.tick(again, replays=(first.next_key,))
    (found,) = letters.read()
    assert (found.key, found.units, found.received_at) == (first.next_key, 3, 1.0)
    assert trainer.state.account()[0].ends == {"rejected": 3}


def test_a_message_without_units_that_replays_nothing_takes_nothing(letters, trainer):
    trainer.tick(letter(1))
    trainer.tick(replays=(letter(1).key, b"x" * 16))
    assert list(letters.read()) == [letter(1)]


def test_dropped_letters_stay_counted(letters, trainer):
    trainer.tick(letter(1), letter(2), letter(3, units=4))
    assert letters.expire(received_before=3.0) == 2
    assert letters.expire(received_before=3.0) == 0
    assert list(letters.read()) == [letter(3, units=4)]
    assert letters.counts() == [DeadCount(EVENTS, UNDECODABLE, kept=4, dropped=2)]
    assert trainer.account() == (6, {"rejected": 6})


def test_rewrites_what_holds_a_text_and_nothing_else(letters, trainer):
    trainer.tick(letter(1, body=b"of ada"), letter(2, body=b"of bob"), letter(3, body=b"\xff\x00ada"))
    for changed in (2, 0):
        assert letters.rewrite([b"ada", b"eve"], lambda body: body.replace(b"ada", b"---")) == changed
    assert [found.body for found in letters.read()] == [b"\xff\x00---", b"of bob", b"of ---"]


def test_a_message_that_comes_again_and_still_cannot_be_used_is_one_letter_that_stands_for_both(letters, trainer):
    trainer.tick(letter(1))
    trainer.tick(letter(1))
    assert [found.units for found in letters.read()] == [2]
    assert trainer.account() == (2, {"rejected": 2})
