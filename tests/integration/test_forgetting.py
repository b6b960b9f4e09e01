"""A person is forgotten: in every file of a data directory, and in what is learnt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from omakase import adapters
from omakase.adapters.local.forgotten import SqliteForgotten
from omakase.adapters.local.spool import Spool
from omakase.adapters.local.spool_reader import SpoolReader
from omakase.core.errors import Unavailable
from omakase.core.ids import Pseudonym, RequestId
from omakase.core.slates import Slate
from omakase.ports.context_store import Click
from omakase.ports.event_bus import Message
from omakase.ports.touches import Touch, Touched
from omakase.privacy.forgetting import Forgetting, Places
from omakase.serving.refused import Refused
from omakase.wire import SpooledSlate, decode_slate, encode_slate
from tests.integration.stage import KEYRING, START
from tests.integration.test_dead_letters import Office
from tests.integration.test_tracking import new_slate
from tests.integration.test_trainer import assert_same, expected
from tracking.forgetting import without_the_forgotten

RAW = "ada.lovelace@example.com"
ADA, TABLET, BOB = KEYRING.pseudonym("user", RAW), KEYRING.pseudonym("anonymous", "tablet"), Pseudonym("b" * 22)
SECRET = "Marylebone"


def slate_of(user: Pseudonym, unit: Pseudonym, served_at: float = START) -> Slate:
    return replace(new_slate(served_at), user=user, unit=unit, context={"district": SECRET if user == ADA else "Soho"})


class House(Office):
    """An office where Ada left something in every room, and Bob in most."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.spool = Spool(directory / "spool" / "gateway")
        self.reader = SpoolReader(directory / "spool" / "gateway")

    def live_in(self) -> dict[str, Slate]:
        contexts = adapters.open_context_store(self.deployment.uris.contexts)
        contexts.put([(person, {"district": SECRET}) for person in (ADA, BOB)])
        contexts.note([Click(person, RequestId(b"r" * 16), 1, "i", START) for person in (ADA, BOB)])
        self.slates = {"ada": slate_of(ADA, TABLET), "late": slate_of(ADA, ADA), "bob": slate_of(BOB, BOB)}
        for slate in self.slates.values():
            self.spool.append(encode_slate(slate))
        self.reader.read(10)
        self.reader.commit()  # shipped, and still in a segment that grows
        self.receive(*self.slates.values())
        for slate in self.slates.values():
            self.happen(slate, (1, "click"), (2, "impression"))
        self.expect_widths(context=1, item=2)
        self.tick(START + 20)
        self.loader.load()
        self._leave_dead_letters()
        items = (Touched(1, "i", is_click=True),)
        touch = Touch(self.slates["ada"].request_id, START, TABLET, ADA, START, "home", "a", "p", items)
        adapters.open_touches(self.deployment.uris.deliveries).note([touch, replace(touch, unit=BOB, user=BOB)])
        return self.slates

    def _leave_dead_letters(self) -> None:
        self.bus.publish([Message(b"x" * 16, START, b"\xff" + ADA.encode())])
        self.expect_widths(context=7, item=2)
        self.happen(self.slates["ada"], (3, "click"))
        self.tick(START + 21)
        self.expect_widths(context=1, item=2)
        self.happen(self.slates["bob"], (3, "impression"))  # on the bus, not read yet

    def forget(self, **changes: float) -> dict[str, int]:
        return Forgetting(Places.of(self.deployment), [ADA, TABLET], self.clock.now(), **changes).run()

    def holding(self, *texts: str) -> set[str]:
        """Files with one of these texts in them; those of the warehouse are compressed, and asked."""
        root = self.deployment.root
        wanted = [text.encode() for text in texts]
        files = [path for path in root.rglob("*") if path.is_file() and path.name != "clock"]
        held = {path.name for path in files if any(text in path.read_bytes() for text in wanted)}
        for table, columns in (("deliveries", ("unit", '"user"', "context")), ("events", ("unit",))):
            for column in columns:
                rows = self.warehouse.query(f"SELECT {column} AS said FROM {table} WHERE {column} IS NOT NULL")
                held |= {table for row in rows if any(text in str(row["said"]) for text in texts)}
        return held


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_every_place_holds_something_before_and_nothing_afterwards(house):
    house.live_in()
    before = {name.partition("-wal")[0] for name in house.holding(ADA, TABLET)}
    assert before >= {"contexts.db", "deliveries.db", "bus.db", "training.db", "deliveries", "events"}
    assert any(name.endswith(".spool") for name in before)
    reached = house.forget()
    assert all(reached[place] for place in reached if place != "orders"), reached
    assert house.holding(ADA, TABLET, RAW) == set()
    assert not {name for name in house.holding(SECRET) if not name.startswith("contexts.db")}  # Bob's is there
    assert house.holding(BOB) >= {"bus.db", "deliveries.db", "contexts.db", "deliveries", "events"}
    assert set(house.forget().values()) == {0}


def test_what_tracking_notes_of_them_until_their_records_are_blanked_goes_too(house, monkeypatch):
    slates = house.live_in()
    rewrite = SqliteForgotten.rewrite

    def rewrite_late(*arguments):
        touch = Touch(
            slates["ada"].request_id, START, TABLET, ADA, START, "home", "a", "p", (Touched(2, "j", is_click=True),)
        )
        adapters.open_touches(house.deployment.uris.deliveries).note([touch])
        contexts = adapters.open_context_store(house.deployment.uris.contexts)
        contexts.note([Click(ADA, slates["ada"].request_id, 2, "j", START)])
        monkeypatch.setattr(SqliteForgotten, "rewrite", rewrite)
        return rewrite(*arguments)

    monkeypatch.setattr(SqliteForgotten, "rewrite", rewrite_late)
    reached = house.forget()
    assert (reached["touches"], reached["contexts"]) == (2, 2)
    assert house.holding(ADA, TABLET) == set()


def test_where_there_is_no_directory_the_shared_stores_are_cleaned_and_what_was_learnt_is_taken_back(house):
    slates = house.live_in()
    places = replace(Places.of(house.deployment), directory=None)
    reached = Forgetting(places, [ADA, TABLET], house.clock.now()).run()
    assert reached == {"contexts": 1, "touches": 1, "orders": 0, "deliveries": 2, "warehouse": reached["warehouse"]}
    kept = {name.partition("-wal")[0] for name in house.holding(ADA, TABLET)}
    assert kept & {"contexts.db", "deliveries.db", "deliveries", "events"} == set()
    assert "bus.db" in kept  # the stream's own, which runs out
    house.tick(START + 40)
    assert_same(house.learnt(), expected((slates["bob"], 1, 1.0), (slates["bob"], 2, 0.0), (slates["bob"], 3, 0.0)))


def test_what_was_learnt_within_the_window_is_unlearnt_and_the_account_balances(house):
    slates = house.live_in()
    house.forget()
    house.tick(START + 40)
    house.loader.load()
    assert_same(house.learnt(), expected((slates["bob"], 1, 1.0), (slates["bob"], 2, 0.0), (slates["bob"], 3, 0.0)))
    account = house.account()
    assert (account.deliveries.ends, account.deliveries.open) == (
        {"learnt": 1, "learnt_without_click": 2, "excluded": 6},
        0,
    )
    assert account.events.ends["excluded"] == 4
    for slate in (slates["ada"], slates["late"]):
        house.happen(slate, (1, "click"))
    house.tick(START + 60)
    assert house.account().events.ends["excluded"] == 6


def test_a_slate_that_comes_late_from_a_spool_is_blanked_and_excluded(house):
    house.forget()
    forgotten = adapters.open_forgotten(house.deployment.uris.deliveries)
    old, new, other = slate_of(ADA, TABLET), slate_of(ADA, TABLET, START + 50), slate_of(BOB, BOB)
    taken = without_the_forgotten(
        [SpooledSlate.of(encode_slate(slate)) for slate in (old, new, other)], forgotten, START + 60
    )
    assert [slate.user for slate in taken.slates] == ["", ADA, BOB]
    kept = decode_slate(taken.slates[0].body)
    assert (kept.context, kept.experiment) == ({}, "")
    assert [message.units for message in taken.exclusions] == [0, 0, 0]
    house._store(slates=taken.slates)
    house.bus.publish(taken.exclusions)
    house.happen(old, (1, "click"))
    house.tick(START + 80)
    assert house.learnt().examples == 0
    assert house.account().deliveries.ends == {"excluded": 3}


def test_what_waits_in_a_spool_is_blanked_while_its_service_is_away(house):
    house.spool.append(encode_slate(slate_of(ADA, TABLET)))
    house.spool.append(encode_slate(slate_of(BOB, BOB)))
    house.spool.close()
    house.reader.close()
    assert house.forget()["spool"] == 1
    assert [decode_slate(record).user for record in house.reader.read(10)] == ["", BOB]
    assert house.holding(ADA, TABLET) == set()


def test_what_a_running_service_is_yet_to_ship_is_left_to_it_and_said(house):
    record = encode_slate(slate_of(ADA, TABLET))
    house.spool.append(record)
    assert house.reader.read(10) == [record]
    with pytest.raises(Unavailable, match="1 delivery records of gateway wait for tracking: call again"):
        house.forget(patience_s=0.0)
    assert house.reader.read(10) == [record]
    house.reader.commit()
    house.forget()
    assert house.holding(ADA) == set()
    house.spool.append(b"another")
    assert house.reader.read(10) == [b"another"]


def test_what_was_set_aside_beside_a_spool_is_blanked(house):
    refused = Refused(house.deployment.root / "spool" / "gateway" / "refused")
    for slate in (slate_of(ADA, TABLET), slate_of(BOB, BOB)):
        refused.add(encode_slate(slate))
    refused.add(b"\xff" + ADA.encode())
    (refused.path.parent / "1.spool.damaged").write_bytes(b"\x00" + TABLET.encode() + b"\xff")
    assert house.forget()["spool"] == 3
    assert house.holding(ADA, TABLET) == set()
    assert [decode_slate(record).user for record in refused.records()[:2]] == ["", BOB]


def test_a_run_that_dies_anywhere_is_finished_by_the_next(house, monkeypatch):
    house.live_in()
    for module, name in (
        ("omakase.adapters.local.forgotten.SqliteForgotten", "rewrite"),
        ("omakase.adapters.local.event_log.SqliteEventLog", "rewrite"),
        ("omakase.adapters.local.dead_letters.SqliteDeadLetters", "rewrite"),
        ("omakase.adapters.local.warehouse.FileWarehouse", "forget"),
    ):
        with monkeypatch.context() as killed:
            killed.setattr(f"{module}.{name}", lambda *_: (_ for _ in ()).throw(Unavailable("killed")))
            with pytest.raises(Unavailable):
                house.forget()
    house.forget()
    assert house.holding(ADA, TABLET) == set()
    house.tick(START + 40)
    assert house.learnt().examples == 3
