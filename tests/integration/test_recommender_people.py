"""A recommender whose context store is behind a network."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from omakase.adapters.local.context_store import SqliteContextStore
from omakase.core.ids import Pseudonym
from omakase.ports.context_store import Known
from omakase.v1 import recommender_pb2 as pb
from tests.integration.asking import Asking
from tests.integration.stage import KEYRING, PATIENCE_S, RunningRecommender, Shop, Stage, until

ANNA, BEN = KEYRING.pseudonym("user", "anna"), KEYRING.pseudonym("user", "ben")


class Distant(SqliteContextStore):
    """The real store, which keeps Anna's look-ups waiting until they may come back."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_asked, self.may_answer = threading.Event(), threading.Event()

    def find(self, people: Collection[Pseudonym], within_s: float | None = None) -> Mapping[Pseudonym, Known]:
        if ANNA in people:
            self.is_asked.set()
            assert self.may_answer.wait(PATIENCE_S)
        return super().find(people)

    def at_hand(self, people: Collection[Pseudonym]) -> None:  # type: ignore[override]
        return None


@pytest.fixture
def distant(shop: Shop, tmp_path: Path) -> Distant:
    store = Distant(tmp_path / "distant.db")
    store.put([(ANNA, {"age": 30.0}), (BEN, {"age": 40.0})])
    shop.contexts = store
    return store


@pytest.fixture
def recommender(stage: Stage, shop: Shop, distant: Distant, tmp_path: Path) -> Iterator[RunningRecommender]:
    running = RunningRecommender(stage, shop, tmp_path / "recommender").ready()
    yield running
    distant.may_answer.set()
    running.stop()


def ask(recommender: RunningRecommender, user: Pseudonym) -> Any:
    """On a stream of its own."""
    fields = {"placement": "home-top", "variant": "learnt", "policy": "thompson", "model": "clicks", "limit": 3}
    with grpc.insecure_channel(recommender.target) as channel:
        request = pb.RecommendRequest(**fields, user=user, personalise=True, measure=True)
        return Asking(channel)(request, PATIENCE_S)


def test_who_waits_for_the_store_holds_up_nobody_else(recommender: RunningRecommender, distant: Distant) -> None:
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(ask, recommender, ANNA)
        assert distant.is_asked.wait(PATIENCE_S)
        ask(recommender, BEN)
        assert not waiting.done()
        distant.may_answer.set()
        waiting.result(PATIENCE_S)
    first, second = recommender.recorded.slates()
    assert [(slate.user, slate.context["age"]) for slate in (first, second)] == [(BEN, 40.0), (ANNA, 30.0)]


def test_what_waits_for_the_store_is_answered_and_recorded_before_the_end(
    recommender: RunningRecommender, distant: Distant
) -> None:
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(ask, recommender, ANNA)
        assert distant.is_asked.wait(PATIENCE_S)
        stopping = threads.submit(recommender.stop, PATIENCE_S)
        until(lambda: recommender._server._service._is_draining, "it was told to end")
        distant.may_answer.set()
        assert len(waiting.result(PATIENCE_S).item_id) == 3
        stopping.result(PATIENCE_S)
    assert [slate.user for slate in recommender.recorded.slates()] == [ANNA]
