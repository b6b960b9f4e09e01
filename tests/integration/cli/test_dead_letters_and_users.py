"""`omakase events dead-letters …` and `omakase users forget`, over real stores."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from omakase import adapters
from omakase.core.accounting import DELIVERIES, EVENTS, FEATURES, UNDECODABLE
from omakase.deployment import Deployment
from omakase.keys import load_keys
from omakase.ports.dead_letters import DeadLetter
from omakase.ports.event_bus import Message
from omakase.ports.training_state import Progress, Tick
from omakase.serving.refused import Refused
from omakase.wire import bus_body_of_slate, encode_slate
from tests.integration.test_tracking import new_slate


@pytest.fixture
def where(deployment: Deployment) -> tuple[object, ...]:
    return ("--data-dir", deployment.data_dir)


def set_aside(deployment: Deployment, *letters: DeadLetter) -> None:
    """As a trainer does that has read them from the bus."""
    bus = adapters.open_event_log(deployment.uris.bus)
    bus.publish([Message(one.key, one.received_at, one.body, one.kind, one.units) for one in letters])
    state = adapters.open_training_state(deployment.uris.training)
    state.commit(Tick(Progress(1, bus.last_offset()), {}, Counter(), dead=letters))


def letters() -> tuple[DeadLetter, DeadLetter]:
    body = bus_body_of_slate(encode_slate(new_slate()))
    slate = DeadLetter(b"s" * 16, DELIVERIES, 3, 1_760_000_000.0, body, UNDECODABLE, "a later version")
    return slate, DeadLetter(b"e" * 16, EVENTS, 1, 1_760_000_001.0, b"\xff", FEATURES, "too wide")


def test_no_dead_letters_is_said(omakase, where):
    assert omakase("events", "dead-letters", "list", *where).out == "no dead letters\n"
    assert omakase("events", "dead-letters", "list", "--json", *where).json() == {"counts": [], "newest": []}


def test_letters_are_counted_by_reason_and_the_newest_listed(omakase, deployment, where):
    set_aside(deployment, *letters())
    told = omakase("events", "dead-letters", "list", "--json", *where).json()
    assert [(c["kind"], c["reason"], c["kept"]) for c in told["counts"]] == [
        (DELIVERIES, UNDECODABLE, 3),
        (EVENTS, FEATURES, 1),
    ]
    assert [line["id"] for line in told["newest"]] == [b"e".hex() * 16, b"s".hex() * 16]
    one = omakase("events", "dead-letters", "list", "--reason", FEATURES, "--json", *where).json()
    assert [len(one["counts"]), one["newest"][0]["detail"]] == [1, "too wide"]
    table = omakase("events", "dead-letters", "list", *where).out
    assert re.search(r"events .* features .* 1 ", table)
    stats = omakase("events", "stats", *where).out
    assert re.search(r"of the rejected, dead letters: undecodable .* 3 ", stats)
    assert re.search(r"on the way to the warehouse .* 2 messages", stats)


def test_a_letter_is_shown(omakase, deployment, where):
    set_aside(deployment, *letters())
    shown = omakase("events", "dead-letters", "show", b"s".hex() * 16, *where).json()
    assert (shown["placement"], shown["items"], shown["detail"]) == ("home", ["i0", "i1", "i2"], "a later version")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("list", "--reason", "feature"), "no reason 'feature'; did you mean 'features'?"),
        (("replay", "--reason", "all"), "no reason 'all'"),
        (("show", "xyz"), "'xyz' is no id"),
        (("show", "00" * 16), "no dead letter 0000"),
    ],
)
def test_what_is_not_there_is_said_in_words(omakase, where, arguments, words):
    said = omakase("events", "dead-letters", *arguments, *where)
    assert said.code == 2
    assert words in said.err


def test_a_replay_puts_letters_on_the_bus_once_and_refused_records_into_their_spool(omakase, deployment, where):
    set_aside(deployment, *letters())
    refused = Refused(deployment.root / "spool" / "gateway" / "refused")
    refused.path.parent.mkdir(parents=True)
    refused.add(b"record")
    assert "tracking refused 1 delivery records" in omakase("events", "stats", *where).out
    for _ in range(2):
        said = omakase("events", "dead-letters", "replay", *where)
        assert said.out.startswith("2 dead letters are on their way to the trainer")
    bus = adapters.open_event_log(deployment.uris.bus)
    assert [logged.message.units for logged in bus.read(2, 100)] == [0, 0]
    assert bus.totals() == {DELIVERIES: 3, EVENTS: 1, "propensities": 0, "discards": 0}
    assert adapters.open_spool_reader(deployment.spool("gateway")).read(10) == [b"record"]
    account = omakase("events", "stats", "--json", *where).json()
    assert (account["unread"], account["refused"], account["faults"]) == (2, 0, [])


def test_a_person_is_forgotten_and_told_where(omakase, deployment, where):
    keyring = load_keys(deployment.keys)
    ada, tablet = keyring.pseudonym("user", "ada"), keyring.pseudonym("anonymous", "tablet")
    slates = [replace(new_slate(), user=ada, unit=ada), replace(new_slate(), user="", unit=tablet)]
    bus = adapters.open_event_log(deployment.uris.bus)
    bus.publish([Message(one.request_id, 1.0, bus_body_of_slate(encode_slate(one)), DELIVERIES, 3) for one in slates])
    adapters.open_context_store(deployment.uris.contexts).put([(ada, {"age": 36.0})])
    said = omakase("users", "forget", "ada", "--anonymous-id", "tablet", *where)
    assert said.code == 0
    assert re.search(r"contexts .* 1 ", said.out)
    assert re.search(r"bus .* 2 ", said.out)
    for path in deployment.root.rglob("*"):
        assert not path.is_file() or not any(name.encode() in path.read_bytes() for name in (ada, tablet)), path


def test_in_a_cluster_the_environment_says_where_people_are(omakase, deployment, monkeypatch):
    ada = load_keys(deployment.keys).pseudonym("user", "ada")
    contexts = adapters.open_context_store(deployment.uris.contexts)
    contexts.put([(ada, {"age": 36.0})])
    adapters.open_warehouse(deployment.uris.warehouse).append("events", "late", [{"hour": 0, "unit": ada}])
    monkeypatch.setenv("OMAKASE_CONFIG", str(deployment.config))
    monkeypatch.setenv("OMAKASE_KEYS", str(deployment.keys))
    for name in ("contexts", "deliveries", "bus"):
        monkeypatch.setenv(f"OMAKASE_{name.upper()}", getattr(deployment.uris, name))
    said = omakase("users", "forget", "ada")
    assert (said.code, "variables of the back office: OMAKASE_WAREHOUSE: Field required" in said.err) == (2, True)
    monkeypatch.setenv("OMAKASE_WAREHOUSE", deployment.uris.warehouse)
    said = omakase("users", "forget", "ada")
    assert said.code == 0, said.err
    assert re.search(r"contexts .* 1 ", said.out)
    assert re.search(r"warehouse .* 1 ", said.out)
    assert contexts.find([ada]) == {}
    assert adapters.open_forgotten(deployment.uris.deliveries).find([ada]).keys() == {ada}


def test_somebody_must_be_named(omakase, where):
    said = omakase("users", "forget", *where)
    assert (said.code, "name somebody" in said.err) == (2, True)
