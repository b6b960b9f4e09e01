"""Contract of the context store."""

from time import perf_counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omakase.core.errors import InvalidFeature
from omakase.core.ids import Pseudonym

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


@pytest.fixture
def store(context_stores):
    return context_stores.open()


def test_knows_nobody_at_first(store):
    assert store.get(ALICE) is None


def test_gives_back_the_facts_of_each_person(store):
    facts = {"age": 31.0, "city": "Zürich 🌙", "vip": True, "tags": ("a", "b"), "taste": (0.1, -2.5), "none": ()}
    assert store.put([(ALICE, facts), (BOB, {})]) == 2
    assert store.get(ALICE) == facts
    assert store.get(BOB) == {}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=st.dictionaries(texts, values, max_size=5))
def test_facts_come_back_with_the_types_they_had(store, facts):
    store.put([(ALICE, facts)])
    found = store.get(ALICE)
    assert found == facts
    assert {name: type(value) for name, value in found.items()} == {name: type(v) for name, v in facts.items()}


def test_replaces_all_facts_of_a_person(store):
    store.put([(ALICE, {"age": 31.0, "city": "Bern"})])
    store.put([(ALICE, {"age": 32.0})])
    assert store.get(ALICE) == {"age": 32.0}


def test_counts_people_and_keeps_the_last_facts_of_each(store):
    assert store.put([(ALICE, {"n": 1.0}), (BOB, {"n": 2.0}), (ALICE, {"n": 3.0})]) == 2
    assert store.get(ALICE) == {"n": 3.0}
    assert store.put([]) == 0


def test_puts_all_or_none_when_the_source_breaks_off(store):
    def source():
        yield ALICE, {"age": 31.0}
        raise RuntimeError("the file ended in the middle of a line")

    with pytest.raises(RuntimeError):
        store.put(source())
    assert store.get(ALICE) is None


def test_puts_all_or_none_when_a_value_cannot_be_kept(store):
    with pytest.raises(InvalidFeature, match="'age'"):
        store.put([(ALICE, {"age": 31.0}), (BOB, {"age": float("nan")})])
    assert store.get(ALICE) is None


def test_forgets_a_person_and_forgetting_again_is_no_error(store):
    store.put([(ALICE, {"age": 31.0}), (BOB, {})])
    store.forget(ALICE)
    store.forget(ALICE)
    assert store.get(ALICE) is None
    assert store.get(BOB) == {}


def test_answers_within_a_millisecond(store):
    store.put((Pseudonym(f"p{n}"), {"age": float(n), "tags": ("a", "b")}) for n in range(20_000))

    def read_time(n: int) -> float:
        started = perf_counter()
        store.get(Pseudonym(f"p{n * 7}"))
        return perf_counter() - started

    # The median: a busy machine may stop us in the middle of any one read.
    assert sorted(map(read_time, range(201)))[100] < 1e-3


def test_sees_what_another_process_put(context_stores, spawn):
    store = context_stores.open()
    child = spawn(PUT, context_stores.uri)
    assert child.stdout.readline() == "1\n"
    assert store.get(ALICE) == {"age": 31.0}


def test_keeps_facts_when_reopened(context_stores):
    context_stores.open().put([(ALICE, {"age": 31.0})])
    assert context_stores.open().get(ALICE) == {"age": 31.0}
