"""A trainer that is behind, on a bus that need not keep the order of time."""

from __future__ import annotations

from pathlib import Path

import pytest

from omakase.ports.event_bus import Message
from tests.integration.stage import START
from tests.integration.test_tracking import new_slate
from tests.integration.test_trainer import Desk

BEHIND = 4


def stray(at: float) -> Message:
    """A message of that time which nothing is learnt from, and which stands in a backlog where it should not."""
    return Message(b"stray".ljust(16, b"."), at, b"", "propensities")


@pytest.mark.parametrize("ahead_s", [2_000.0, 1e9])
def test_one_message_ahead_of_its_backlog_closes_nothing_that_is_still_to_be_read(tmp_path: Path, ahead_s: float):
    """Ahead of the rest, as Pub/Sub hands messages out; or of every clock, from a tracking whose own is wrong."""
    desk = Desk(tmp_path, max_messages=BEHIND)
    slates = [new_slate(START + i) for i in range(3)]
    for slate in slates:
        desk.clock.move(slate.served_at)
        desk.receive(slate)
    desk.bus.publish([stray(START + ahead_s)])
    for slate in slates:
        desk.happen(slate, (1, "impression"), at=START + 5)
    desk.happen(slates[0], (1, "click"), at=START + 6)
    desk.tick(START + 5_000)
    assert desk.learnt().examples == 3
    assert desk.ends()[0].get("learnt") == 1
    assert "after_window" not in desk.ends()[1]
    assert desk.trainer.clock_fault() == ""
