"""Contract of the context store."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from time import perf_counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omakase.core.errors import InvalidFeature
from omakase.core.features import MAX_RECENT
from omakase.core.ids import Pseudonym, RequestId
from omakase.ports.context_store import Click, Known

ALICE, BOB = Pseudonym("alice"), Pseudonym("bob")

PUT = """
import sys
from omakase.adapters import open_context_store
print(open_context_store(sys.argv[1]).put([("alice", {"age": 31.0})]), flush=True)
"""

numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=20)
values = (
    texts | st.booleans() | numbers | st.lists(texts, max_size=4).map(tuple) | st.lists(numbers, max_size=4).map(tuple)
)


def click(n: int, person: Pseudonym = ALICE) -> Click:
    """The nth, of item `i<n>`, at second n."""
    return Click(person, RequestId(n.to_bytes(16, "big")), 1, f"i{n}", float(n))


def known(store, person: Pseudonym = ALICE) -> Known | None:
    return store.find([person]).get(person)


@pytest.fixture
def store(context_stores):
    return context_stores.open()


def test_knows_nobody_at_first(store):
    assert known(store) is None


def test_gives_back_the_facts_of_each_person(store):
    facts = {"age": 31.0, "city": "Zürich 🌙", "vip": True, "tags": ("a", "b"), "taste": (0.1, -2.5), "none": ()}
    assert store.put([(ALICE, facts), (BOB, {})]) == 2
    assert known(store) == Known(facts)
    assert known(store, BOB) == Known()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=st.dictionaries(texts, values, max_size=5))
def test_facts_come_back_with_the_types_they_had(store, facts):
    store.put([(ALICE, facts)])
    found = known(store).facts
    assert found == facts
    assert {name: type(value) for name, value in found.items()} == {name: type(v) for name, v in facts.items()}


def test_replaces_all_facts_of_a_person(store):
    store.put([(ALICE, {"age": 31.0, "city": "Bern"})])
    store.put([(ALICE, {"age": 32.0})])
    assert known(store) == Known({"age": 32.0})


def test_counts_people_and_keeps_the_last_facts_of_each(store):
    assert store.put([(ALICE, {"n": 1.0}), (BOB, {"n": 2.0}), (ALICE, {"n": 3.0})]) == 2
    assert known(store) == Known({"n": 3.0})
    assert store.put([]) == 0


def test_puts_all_or_none_when_the_source_breaks_off(store):
    def source():
        yield ALICE, {"age": 31.0}
        raise RuntimeError("the file ended in the middle of a line")

    with pytest.raises(RuntimeError):
        store.put(source())
    assert known(store) is None


def test_puts_all_or_none_when_a_value_cannot_be_kept(store):
    with pytest.raises(InvalidFeature, match="'age'"):
        store.put([(ALICE, {"age": 31.0}), (BOB, {"age": float("nan")})])
    assert known(store) is None


def test_forgets_a_person_and_forgetting_again_is_no_error(store):
    store.put([(ALICE, {"age": 31.0}), (BOB, {})])
    store.note([click(1), click(2, person=BOB)])
    store.forget(ALICE)
    store.forget(ALICE)
    assert known(store) is None
    assert known(store, BOB) == Known({}, ("i2",))


def test_finds_everybody_of_a_batch_at_once(store):
    people = [Pseudonym(f"p{n}") for n in range(520)]
    store.put((person, {"n": float(n)}) for n, person in enumerate(people))
    store.note([click(1, person=people[7])])
    found = store.find([*people, ALICE, people[7]])
    assert len(found) == 520
    assert (found[people[7]], found[people[519]]) == (Known({"n": 7.0}, ("i1",)), Known({"n": 519.0}))


def test_finds_nobody_when_asked_for_nobody(store):
    assert store.find([]) == store.at_hand([]) == {}


def test_who_was_just_found_or_missed_is_at_hand_within_a_millisecond(store):
    store.put([(ALICE, {"age": 31.0})])
    store.note([click(n, person=ALICE) for n in range(MAX_RECENT)])
    found = store.find([ALICE, BOB])

    def read_time() -> float:
        started = perf_counter()
        assert store.at_hand([BOB, ALICE]) == found
        return perf_counter() - started

    # The median: a busy machine may stop us in the middle of any one read.
    assert sorted(read_time() for _ in range(101))[50] < 1e-3


def test_finds_what_it_wrote_itself_also_when_it_had_found_something_else(store):
    assert known(store) is None
    store.put([(ALICE, {"age": 31.0})])
    assert known(store) == Known({"age": 31.0})
    store.note([click(1), click(2)])
    assert known(store) == Known({"age": 31.0}, ("i1", "i2"))
    store.expire(2.0)
    assert known(store) == Known({"age": 31.0}, ("i2",))
    store.forget(ALICE)
    assert known(store) is None


def test_sees_what_another_process_put(context_stores, spawn):
    store = context_stores.open()
    child = spawn(PUT, context_stores.uri)
    assert child.stdout.readline() == "1\n"
    assert known(store) == Known({"age": 31.0})


def test_keeps_facts_and_clicks_when_reopened(context_stores):
    context_stores.open().put([(ALICE, {"age": 31.0})])
    context_stores.open().note([click(1)])
    assert known(context_stores.open()) == Known({"age": 31.0}, ("i1",))


def test_gives_back_the_clicks_of_each_person_newest_last(store):
    store.note([click(3), click(1), click(5, person=BOB)])
    store.note([click(2)])
    assert known(store) == Known({}, ("i1", "i2", "i3"))
    assert known(store, BOB) == Known({}, ("i5",))


def test_neither_facts_nor_clicks_overwrite_the_other(store):
    store.put([(ALICE, {"age": 31.0})])
    store.note([click(1)])
    store.put([(ALICE, {"age": 32.0})])
    assert known(store) == Known({"age": 32.0}, ("i1",))


def test_a_delivery_counts_once_and_when_it_was_clicked_first(store):
    again = click(1)._replace(at=9.0)
    store.note([click(1), click(2), again])
    store.note([click(1), again])
    assert known(store).clicked == ("i1", "i2")


def test_an_item_clicked_in_two_deliveries_is_there_twice(store):
    store.note([click(1), click(2), click(3)._replace(item_id="i1")])
    assert known(store).clicked == ("i1", "i2", "i1")


@given(order=st.permutations(range(70)), cuts=st.lists(st.integers(0, 70), max_size=4))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_the_last_clicks_are_kept_in_whatever_order_and_parts_they_come(store, order, cuts):
    store.forget(ALICE)
    ends = [0, *sorted(cuts), len(order)]
    for start, end in pairwise(ends):
        store.note([click(n) for n in order[start:end]])
        store.note([click(n) for n in order[start:end]])  # redelivered
    assert known(store).clicked == tuple(f"i{n}" for n in range(70 - MAX_RECENT, 70))


def test_clicks_of_one_moment_are_bounded_too(store):
    store.note([click(n)._replace(at=1.0) for n in range(200)])
    assert known(store).clicked == tuple(f"i{n}" for n in range(200 - MAX_RECENT, 200))


def test_old_clicks_expire_and_facts_do_not(store):
    store.put([(ALICE, {"age": 31.0})])
    store.note([click(1), click(2), click(3)])
    assert store.expire(3.0) == 2
    assert store.expire(3.0) == 0
    assert known(store) == Known({"age": 31.0}, ("i3",))


def test_of_several_that_note_at_once_none_loses_what_another_noted(context_stores):
    stores = [context_stores.open() for _ in range(3)]

    def note(number: int) -> None:
        for n in range(number, 12, 3):
            stores[number].note([click(n), click(n, person=BOB)])

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(note, range(3)))
    found = context_stores.open().find([ALICE, BOB])
    assert found == dict.fromkeys([ALICE, BOB], Known({}, tuple(f"i{n}" for n in range(12))))


def test_clicks_of_many_people_are_noted_and_expire(store):
    people = [Pseudonym(f"p{n}") for n in range(60)]
    store.note([click(n % 4, person=person) for n, person in enumerate(people)])
    store.note([click(9, person=person) for person in people])
    gone = 0
    while some := store.expire(3.0):
        gone += some
    assert gone == 45
    found = store.find(people)
    assert [found[person].clicked for person in people[:4]] == [("i9",), ("i9",), ("i9",), ("i3", "i9")]


def test_notes_no_clicks_without_complaint(store):
    store.note([])
    assert known(store) is None
