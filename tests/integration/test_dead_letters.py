"""Dead letters from the message that could not be used to the replay that could: the account balances all the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from batch.loader import Cursor, Loader
from dataflow import transforms
from dataflow.bounded import Pipeline
from omakase.accounts import read_account
from omakase.adapters.local.dead_letters import SqliteDeadLetters
from omakase.adapters.local.event_log import SqliteEventLog
from omakase.core.accounting import DELIVERIES, EVENTS, FEATURES, UNDECODABLE, Account, DeadCount
from omakase.core.errors import Corrupt, Unavailable
from omakase.core.ids import Pseudonym
from omakase.core.rewards import RewardTable
from omakase.core.slates import Slate
from omakase.deployment import Deployment
from omakase.letters import facts_of, replay
from omakase.ports.event_bus import Message
from tests.integration.stage import START
from tests.integration.test_tracking import new_slate
from tests.integration.test_trainer import KEY, RULES, Desk, assert_same, expected


class Office(Desk):
    """A desk with a loader, an account, and letters to replay."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.deployment = Deployment(directory, directory, clock_uri=f"mapped:{directory}/clock")
        self.letters = SqliteDeadLetters(directory / "training.db")
        (directory / "batch").mkdir(exist_ok=True)
        self.loader = Loader(self.bus, self.warehouse, Cursor(self.deployment.warehouse_cursor))

    def expect_widths(self, context: int, item: int) -> None:
        pipeline = Pipeline(RULES, {"home": RewardTable()}, {KEY: (context, item)}, 2)
        self.trainer = replace(self.trainer, pipeline=pipeline)

    def replay(self) -> int:
        return replay(self.letters.read(), self.bus, self.clock.now())

    def account(self) -> Account:
        """Balanced, at every moment of every test."""
        account = read_account(self.deployment, with_warehouse=True)
        assert account.faults() == []
        return account

    def dead(self) -> list[DeadCount]:
        return list(self.account().dead)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def served(office: Office) -> Slate:
    slate = new_slate()
    office.receive(slate)
    return slate


def test_after_a_fix_a_replayed_event_is_learnt_and_counts_once(office):
    slate = served(office)
    office.expect_widths(context=7, item=2)
    office.happen(slate, (1, "click"), (2, "impression"))
    office.tick(START + 5)
    office.loader.load()
    assert office.dead() == [DeadCount(EVENTS, FEATURES, 2)]
    office.expect_widths(context=1, item=2)
    assert office.replay() == 2
    assert office.account().unread == 2
    assert office.dead() == [DeadCount(EVENTS, FEATURES, 2)]
    office.tick(START + 20)
    office.loader.load()
    assert (office.dead(), list(office.letters.read())) == ([], [])
    assert office.ends() == ({"learnt": 1, "learnt_without_click": 1}, {"used": 2})
    assert_same(office.learnt(), expected((slate, 1, 1.0), (slate, 2, 0.0)))
    account = office.account()
    assert (account.accepted, account.loaded.events) == (2, 2)


def test_a_replay_before_the_fix_is_a_dead_letter_again_and_counts_once(office):
    slate = served(office)
    office.expect_widths(context=7, item=2)
    office.happen(slate, (1, "click"))
    for at in (5, 6, 7):
        office.tick(START + at)
        office.loader.load()
        assert office.dead() == [DeadCount(EVENTS, FEATURES, 1)]
        assert office.replay() == 1
    office.expect_widths(context=1, item=2)
    office.tick(START + 30)
    assert office.ends()[1] == {"used": 1}


def test_a_slate_that_cannot_be_read_ends_as_so_many_rejected_deliveries_until_it_is_replayed(office, monkeypatch):
    def fails(_: bytes) -> None:
        raise Corrupt("a field of a later version")

    monkeypatch.setattr(transforms, "decode_for_training", fails)
    monkeypatch.setattr("omakase.rows.decode_bus_body", fails)
    slate = served(office)
    office.tick(START + 1)
    office.loader.load()
    assert office.dead() == [DeadCount(DELIVERIES, UNDECODABLE, 3)]
    assert (office.ends()[0], office.account().loaded.deliveries) == ({"rejected": 3}, 0)
    monkeypatch.undo()
    office.happen(slate, (1, "click"))
    office.replay()
    office.tick(START + 20)
    office.loader.load()
    account = office.account()
    assert (account.deliveries.ends, account.deliveries.open) == ({"learnt": 1}, 2)
    assert (account.recorded, account.loaded.deliveries) == (3, 3)


def test_a_replay_that_is_cut_short_and_repeated_loses_nothing_and_doubles_nothing(office, monkeypatch, tmp_path):
    slate = served(office)
    office.expect_widths(context=7, item=2)
    office.happen(slate, *((position, "impression") for position in (1, 2, 3)))
    office.tick(START + 5)
    monkeypatch.setattr("omakase.letters._BATCH", 1)
    publish, calls = SqliteEventLog.publish, []

    def dies(self: SqliteEventLog, messages: list[Message]) -> None:
        calls.append(messages)
        if len(calls) == 3:
            raise Unavailable("killed")
        publish(self, messages)

    monkeypatch.setattr(SqliteEventLog, "publish", dies)
    with pytest.raises(Unavailable):
        office.replay()
    monkeypatch.undo()
    reborn = Office(tmp_path)
    assert (reborn.account().unread, len(list(reborn.letters.read()))) == (2, 3)
    reborn.replay()
    reborn.replay()
    assert reborn.account().unread == 3
    reborn.tick(START + 30)
    reborn.loader.load()
    assert (reborn.dead(), reborn.ends()[1]) == ([], {"used": 3})
    assert reborn.learnt().examples == 3


def test_rubbish_stays_a_letter_however_often_it_is_replayed(office):
    office.bus.publish([Message(b"x" * 16, START, b"\xffnonsense"), Message(b"y" * 16, START, b"")])
    for at in range(3):
        office.tick(START + at)
        office.loader.load()
        assert office.dead() == [DeadCount(EVENTS, UNDECODABLE, 2)]
        office.replay()
    assert office.account().accepted == 2


def test_a_parked_event_that_cannot_be_read_becomes_a_letter_that_can_be_replayed(office, monkeypatch):
    slate = new_slate()
    office.happen(slate, (1, "click"))
    with monkeypatch.context() as broken:
        broken.setattr("tracking.intake.decode_event", lambda _: (_ for _ in ()).throw(Corrupt("a later version")))
        broken.setattr(transforms, "decode_for_training", lambda _: (_ for _ in ()).throw(Corrupt("a later version")))
        office.clock.move(START + 100)
        office.receive()  # and with it a sweep
        office.tick(START + 101)
    assert office.dead() == [DeadCount(EVENTS, UNDECODABLE, 1)]
    office.replay()
    office.tick(START + 102)
    assert office.ends()[1] == {"orphan_expired": 1}


def test_what_can_be_read_of_a_letter_is_shown_and_names_no_person(office):
    slate = replace(new_slate(), unit=Pseudonym("u" * 22))
    office.receive(slate)
    office.expect_widths(context=7, item=2)
    office.happen(slate, (2, "click"))
    office.bus.publish([Message(b"x" * 16, START, b"\xff")])
    office.tick(START + 5)
    rubbish, event = (dict(facts_of(letter)) for letter in office.letters.read())
    event, rubbish = (event, rubbish) if "type" in event else (rubbish, event)
    assert (event["type"], event["position"], event["reason"], event["item_id"]) == ("click", 2, FEATURES, "i1")
    assert (rubbish["body"], rubbish["reason"]) == ("ff", UNDECODABLE)
    assert "u" * 22 not in str(event)
