"""Datastore that answers late, wrongly or not at all: retried or said, and nothing noted twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import repeat
from time import perf_counter

import pytest
from grpc import StatusCode

from omakase.adapters.gcp.datastore.context_store import DatastoreContextStore
from omakase.adapters.gcp.datastore.entities import Entities
from omakase.core.errors import Unavailable
from omakase.core.ids import NOBODY, Pseudonym, RequestId
from omakase.ports.context_store import Click, Known
from recommender.people import People
from recommender.ranking import Query
from tests.counterparts import DATASTORE
from tests.counterparts.cloud import PROJECT, fresh_name
from tests.counterparts.grpc_faults import PASSED, SILENCE, Fault, Faults, after, before, faulty

ALICE, BOB = Pseudonym("alice"), Pseudonym("bob")
CLICKS = [Click(person, RequestId(bytes([n] * 16)), 1, f"i{n}", float(n)) for person in (ALICE, BOB) for n in range(3)]
PASSING = [
    before(StatusCode.UNAVAILABLE),
    after(StatusCode.UNAVAILABLE),
    before(StatusCode.ABORTED),
    after(StatusCode.DEADLINE_EXCEEDED),
    after(StatusCode.INTERNAL),
    before(StatusCode.RESOURCE_EXHAUSTED),
]


def named(fault: Fault) -> str:
    return f"{'after' if fault.is_done else 'before'}-{fault.code.name if fault.code else 'silence'}"


class Shaky:
    """A store behind a network that fails by a script, and the same storage seen by somebody else."""

    def __init__(self, faults: Faults, store: DatastoreContextStore, other: DatastoreContextStore) -> None:
        self.faults = faults
        self.store = store
        self._other = other

    def stored(self) -> dict[Pseudonym, Known]:
        return dict(self._other.find([ALICE, BOB]))


@pytest.fixture
def shaky(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shaky]:
    address, namespace = DATASTORE.address(), fresh_name()

    def store(patience_s: float) -> DatastoreContextStore:
        return DatastoreContextStore(Entities(PROJECT, namespace=namespace, patience_s=patience_s), expiry_s=0.0)

    other = store(10.0)
    with faulty(address) as (detour, faults):
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", detour)
        yield Shaky(faults, store(1.0), other)


@pytest.mark.parametrize("fault", PASSING, ids=named)
@pytest.mark.parametrize("method", ["Lookup", "Commit"])
def test_clicks_are_noted_once_whatever_happens_to_one_call(shaky: Shaky, method: str, fault: Fault) -> None:
    shaky.store.note(CLICKS[:2])
    shaky.faults.on(method, [fault])
    shaky.store.note(CLICKS)
    assert shaky.stored() == {ALICE: Known({}, ("i0", "i1", "i2")), BOB: Known({}, ("i0", "i1", "i2"))}
    assert shaky.faults.calls[method] == 3


@pytest.mark.parametrize("fault", PASSING, ids=named)
def test_facts_are_put_and_people_forgotten_whatever_happens_to_one_call(shaky: Shaky, fault: Fault) -> None:
    shaky.faults.on("Commit", [fault])
    assert shaky.store.put([(ALICE, {"age": 1.0}), (BOB, {"age": 2.0})]) == 2
    assert shaky.stored() == {ALICE: Known({"age": 1.0}), BOB: Known({"age": 2.0})}
    shaky.faults.on("Commit", [fault])
    shaky.store.forget(ALICE)
    assert shaky.stored() == {BOB: Known({"age": 2.0})}
    assert shaky.faults.calls["Commit"] == 4


@pytest.mark.parametrize("method", ["RunQuery", "Lookup", "Commit"])
@pytest.mark.parametrize("fault", [PASSING[0], PASSING[1]], ids=named)
def test_clicks_expire_whatever_happens_to_one_call(shaky: Shaky, method: str, fault: Fault) -> None:
    shaky.store.note(CLICKS)
    shaky.faults.on(method, [fault])
    while shaky.store.expire(2.0):
        pass
    assert shaky.stored() == {ALICE: Known({}, ("i2",)), BOB: Known({}, ("i2",))}


def test_what_cannot_be_noted_is_said_and_may_be_noted_again(shaky: Shaky) -> None:
    shaky.faults.on("Commit", repeat(after(StatusCode.UNAVAILABLE)))
    with pytest.raises(Unavailable, match="note clicks in Datastore"):
        shaky.store.note(CLICKS)
    assert shaky.faults.calls["Commit"] > 1
    shaky.faults.on("Commit", [])
    shaky.store.note(CLICKS)
    assert shaky.stored() == {ALICE: Known({}, ("i0", "i1", "i2")), BOB: Known({}, ("i0", "i1", "i2"))}


def test_who_cannot_be_forgotten_is_not_said_to_be(shaky: Shaky) -> None:
    shaky.store.put([(ALICE, {"age": 1.0})])
    shaky.faults.on("Commit", repeat(before(StatusCode.UNAVAILABLE)))
    with pytest.raises(Unavailable, match="forget a person"):
        shaky.store.forget(ALICE)


def test_what_will_not_pass_is_said_at_once(shaky: Shaky) -> None:
    shaky.faults.on("Commit", repeat(before(StatusCode.PERMISSION_DENIED)))
    with pytest.raises(Unavailable, match="which roles it needs"):
        shaky.store.note(CLICKS)
    assert shaky.faults.calls["Commit"] == 1


def test_a_look_up_that_fails_is_tried_again_in_time(shaky: Shaky) -> None:
    shaky.store.note(CLICKS)
    shaky.faults.on("Lookup", [before(StatusCode.UNAVAILABLE), after(StatusCode.INTERNAL)])
    assert shaky.store.find([ALICE], within_s=2.0) == {ALICE: Known({}, ("i0", "i1", "i2"))}


@pytest.mark.parametrize("fault", [SILENCE, before(StatusCode.UNAVAILABLE)], ids=named)
def test_a_look_up_keeps_its_time(shaky: Shaky, fault: Fault) -> None:
    shaky.store.find([ALICE])  # connected
    shaky.faults.on("Lookup", repeat(fault))
    started = perf_counter()
    with pytest.raises(Unavailable, match="look up people"):
        shaky.store.find([ALICE], within_s=0.2)
    assert perf_counter() - started < 1.0  # of 0.3; the rest is for a busy machine


def test_a_batch_is_ranked_without_what_datastore_does_not_tell_in_time(shaky: Shaky) -> None:
    shaky.store.put([(ALICE, {"age": 1.0})])
    people = People(shaky.store, timeout_s=0.2)
    query = Query("home", "all", "chance", "", NOBODY, ALICE, {}, 5, [], None, personalise=True)
    shaky.faults.on("Lookup", [SILENCE, PASSED])
    assert asyncio.run(people.of([query])) == {}
    assert asyncio.run(People(shaky.store, timeout_s=5.0).of([query])) == {ALICE: Known({"age": 1.0})}


def test_who_was_looked_up_a_moment_ago_costs_no_call(shaky: Shaky) -> None:
    store = DatastoreContextStore(Entities(PROJECT, namespace=fresh_name()))
    store.note(CLICKS)
    calls = shaky.faults.calls["Lookup"]
    found = [store.find([ALICE, BOB, Pseudonym("nobody")]) for _ in range(3)]
    assert found == [dict.fromkeys([ALICE, BOB], Known({}, ("i0", "i1", "i2")))] * 3
    assert shaky.faults.calls["Lookup"] == calls + 1
