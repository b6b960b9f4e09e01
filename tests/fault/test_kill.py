"""`kill -9` of each process in turn, under traffic, over the real services; and a verdict that misses nothing."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.fault.matrix.evidence import Evidence
from tests.fault.matrix.notes import Answer
from tests.fault.matrix.row import Row, Scene, perform
from tests.fault.matrix.rows.kills import kill
from tests.fault.matrix.verdict import judge

# Only where the person's connection ends may a request in flight be cut.
EDGE = ("gateway", "tracking")
BEHIND = ("recommender-main", "trainer", "batch")


@cache
def after_killing(victims: tuple[str, ...]) -> Evidence:
    """What is left after each was killed twice, and everything was drained."""

    def injure(scene: Scene) -> str:
        for victim in victims * 2:
            scene.serve(40)
            kill(scene, victim)
            scene.up.wait_ready(60.0)
        return ", ".join(victims)

    with tempfile.TemporaryDirectory() as home:
        return perform(Row("-".join(victims), injure), Path(home), seed=1)[1]


@pytest.mark.slow
@pytest.mark.parametrize("victims", [EDGE, BEHIND], ids=", ".join)
def test_killed_processes_cost_the_storefront_nothing_and_lose_nothing(victims: tuple[str, ...]) -> None:
    evidence = after_killing(victims)
    verdict = judge(evidence)
    assert verdict.faults == ()
    assert (verdict.errors, verdict.lost, verdict.learnt_twice) == (0, 0, 0)
    assert victims == EDGE or verdict.cut == 0
    assert evidence.notes.slates > evidence.notes.fallbacks


def test_an_event_with_a_202_that_is_not_in_the_log_is_lost() -> None:
    evidence = after_killing(BEHIND)
    answered = next(event for event in evidence.events if evidence.notes.sent[event.number][1] is Answer.ACCEPTED)
    verdict = judge(replace(evidence, events=[event for event in evidence.events if event is not answered]))
    assert verdict.lost == 1
    assert not verdict.is_balanced


def test_an_event_that_is_stored_twice_is_found() -> None:
    evidence = after_killing(BEHIND)
    verdict = judge(replace(evidence, events=[*evidence.events, evidence.events[0]]))
    assert not verdict.is_balanced
    assert "1 sendings are stored more than once" in verdict.faults


def test_a_model_that_learnt_something_twice_is_found() -> None:
    evidence = after_killing(BEHIND)
    key, snapshot = next(iter(evidence.snapshots.items()))
    doubled = replace(snapshot, statistics=snapshot.statistics + snapshot.statistics)
    verdict = judge(replace(evidence, snapshots={**evidence.snapshots, key: doubled}))
    assert verdict.learnt_twice == snapshot.statistics.examples
    assert not verdict.is_reference


@pytest.mark.parametrize("outcome", ["click", "reward"])
def test_a_model_whose_sums_are_off_by_a_little_is_found(outcome: str) -> None:
    evidence = after_killing(BEHIND)
    key, snapshot = next(iter(evidence.snapshots.items()))
    sums = snapshot.statistics.outcomes[outcome]
    off = {**snapshot.statistics.outcomes, outcome: replace(sums, moment=sums.moment + 1e-4)}
    wrong = replace(snapshot, statistics=replace(snapshot.statistics, outcomes=off))
    verdict = judge(replace(evidence, snapshots={**evidence.snapshots, key: wrong}))
    assert verdict.faults == (f"{key}: the moment of {outcome} is not the reference's",)


def test_a_slate_without_its_record_is_found() -> None:
    evidence = after_killing(BEHIND)
    shown = {id_ for id_, shown in evidence.notes.shown.items() if not shown.is_fallback}
    place = next(place for place, delivery in evidence.deliveries.items() if delivery.delivery_id in shown)
    left = {other: delivery for other, delivery in evidence.deliveries.items() if other != place}
    faults = judge(replace(evidence, deliveries=left, learnable=left)).faults
    assert "1 deliveries that a recommender served have no record" in faults
