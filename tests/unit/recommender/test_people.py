"""What a batch knows of its people, with a store at hand and one that has to be waited for."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client import REGISTRY

from omakase.adapters.local.context_store import SqliteContextStore
from omakase.core.errors import OmakaseError, Unavailable
from omakase.core.ids import NOBODY, Pseudonym
from omakase.ports.context_store import Known
from recommender.people import People
from recommender.ranking import Query

ANNA, BEN, CLEO = Pseudonym("anna"), Pseudonym("ben"), Pseudonym("cleo")
QUERY = Query("home", "all", "chance", "", NOBODY, ANNA, {}, 5, [], None, personalise=True)
QUERIES = [QUERY, replace(QUERY, user=BEN), QUERY]


class Distant(SqliteContextStore):
    """The real store, behind a network that a test may break."""

    fault: OmakaseError | None = None
    asked = 0
    patience_s: float | None = None

    def find(self, people: Collection[Pseudonym], within_s: float | None = None) -> Mapping[Pseudonym, Known]:
        self.asked += 1
        self.patience_s = within_s
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()  # what waits may not hold up the others
        if self.fault is not None:
            raise self.fault
        return super().find(people)

    def at_hand(self, people: Collection[Pseudonym]) -> None:  # type: ignore[override]
        return None


class Hours:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def unused() -> float:
    labels = {"reason": "unreadable"}
    return REGISTRY.get_sample_value("omakase_recommender_stored_contexts_unused_total", labels) or 0.0


@pytest.fixture(params=[SqliteContextStore, Distant])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SqliteContextStore:
    opened: SqliteContextStore = request.param(tmp_path / "contexts.db")
    opened.put([(ANNA, {"age": 30.0}), (CLEO, {"age": 50.0}), (NOBODY, {"age": 1.0})])
    return opened


@pytest.fixture
def distant(tmp_path: Path) -> Distant:
    store = Distant(tmp_path / "contexts.db")
    store.put([(ANNA, {"age": 30.0})])
    return store


def known(people: People, *queries: Query) -> Mapping[Pseudonym, Known]:
    return asyncio.run(people.of(queries))


def test_everybody_of_a_batch_is_looked_up_and_nobody_else(store: SqliteContextStore) -> None:
    before = unused()
    assert known(People(store), *QUERIES) == {ANNA: Known({"age": 30.0})}
    assert unused() == before


def test_without_consent_or_a_name_nobody_is_looked_up(distant: Distant) -> None:
    assert known(People(distant), replace(QUERY, personalise=False), replace(QUERY, user=NOBODY)) == {}
    assert distant.asked == 0


def test_rubbish_of_one_person_costs_the_others_nothing(store: SqliteContextStore, tmp_path: Path) -> None:
    before = unused()
    with closing(sqlite3.connect(tmp_path / "contexts.db")) as outside:
        outside.execute("INSERT INTO context VALUES ('ben', 'rubbish')")
        outside.commit()
    everybody = [*QUERIES, replace(QUERY, user=CLEO)]
    assert known(People(store), *everybody) == {ANNA: Known({"age": 30.0}), CLEO: Known({"age": 50.0})}
    assert unused() == before + 1


def test_a_store_that_is_away_costs_what_is_known_and_is_counted(distant: Distant) -> None:
    before, people = unused(), People(distant, timeout_s=0.02)
    distant.fault = Unavailable("too slow")
    assert known(people, *QUERIES) == {}
    assert (unused(), distant.patience_s) == (before + 3, 0.02)
    distant.fault = None
    assert known(people, *QUERIES) == {ANNA: Known({"age": 30.0})}


def test_a_store_that_stays_away_is_left_alone_for_a_second_and_asked_again(distant: Distant) -> None:
    before, clock = unused(), Hours()
    people = People(distant, monotonic=clock)
    distant.fault = Unavailable("too slow")
    for _ in range(10):
        known(people, QUERY)
        clock.now += 0.01
    assert (distant.asked, unused()) == (3, before + 10)
    distant.fault = None
    clock.now += 1.0
    assert known(people, QUERY) == {ANNA: Known({"age": 30.0})}
    assert known(people, QUERY) == {ANNA: Known({"age": 30.0})}
    assert distant.asked == 5


def test_connecting_outlives_a_store_that_is_away(distant: Distant) -> None:
    distant.fault = Unavailable("not yet")
    asyncio.run(People(distant).connect())
    assert distant.asked == 1
