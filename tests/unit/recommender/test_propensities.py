"""Counting beside serving: within its share of the CPU, and never a wrong number."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import REGISTRY

from benchmarks.frequencies import cases
from omakase.core.errors import Unavailable
from omakase.core.ids import RequestId
from omakase.core.policies import Uniform
from omakase.core.ranking import rank
from omakase.wire import decode_propensities
from recommender.propensities import Allowance, Counting, PropensityCounter
from recommender.ranking import Made
from tests.integration.stage import until

CASE = next(cases(n=20, k=4))
RNG = np.random.default_rng(1)


class Records:
    """A delivery log in memory, whose disk can be full."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.is_full = False

    def append(self, record: bytes) -> None:
        if self.is_full:
            raise Unavailable("the disk is full")
        self.records.append(record)


class Cpu:
    """CPU times, moved by hand."""

    process = thread = 0.0

    def allowance(self, share: float) -> Allowance:
        return Allowance(share, lambda: self.process, lambda: self.thread)


def made(case=CASE, scorer=CASE.scorer) -> Made:
    """As far as counting looks at it."""
    known = {
        "policy": case.policy,
        "scorer": scorer,
        "context": case.context,
        "choice": case.choice,
        "ranking": rank(case.policy, case.scorer, case.context, case.choice, RNG),
    }
    return Made(**{name: known.get(name) for name in Made.__struct_fields__})  # type: ignore[arg-type]


def request_id(n: int) -> RequestId:
    return RequestId(n.to_bytes(16, "big"))


def outcomes() -> dict[str, float]:
    name = "omakase_recommender_propensities_total"
    return {o: REGISTRY.get_sample_value(name, {"outcome": o}) or 0.0 for o in ("counted", "skipped", "failed")}


def grown(before: dict[str, float]) -> dict[str, float]:
    return {outcome: count - before[outcome] for outcome, count in outcomes().items()}


@pytest.fixture
def records():
    return Records()


def counter(
    records: Records, *, cpu_share: float = 10.0, max_draws: int = 64, monotonic: Callable[[], float] = time.monotonic
) -> PropensityCounter:
    return PropensityCounter(Counting(4, max_draws, cpu_share), records, np.random.default_rng(2), monotonic)


def test_every_slate_that_is_offered_in_peace_is_counted_and_recorded_by_its_id(records):
    counting, before = counter(records), outcomes()
    counting.start()
    for n in range(20):
        counting.offer(request_id(n), made())
    counting.stop(30.0)
    found = [decode_propensities(record) for record in records.records]
    assert [record.request_id for record in found] == [request_id(n) for n in range(20)]
    assert all(record.positions.draws.size == 4 for record in found)
    assert grown(before) == {"counted": 20, "skipped": 0, "failed": 0}


def test_what_is_known_by_a_formula_is_not_counted(records):
    counting = counter(records)
    counting.start()
    counting.offer(request_id(1), made(replace(CASE, policy=Uniform())))
    counting.stop(30.0)
    assert records.records == []


def test_a_share_of_nothing_counts_nothing(records):
    counting, before = counter(records, cpu_share=0.0), outcomes()
    counting.start()
    counting.offer(request_id(1), made())
    counting.stop(30.0)
    assert (records.records, grown(before)) == ([], {"counted": 0, "skipped": 0, "failed": 0})


def test_how_much_is_counted_may_change_while_it_runs(records):
    counting, before = counter(records, cpu_share=0.0), outcomes()
    counting.start()
    counting.offer(request_id(1), made())
    counting.follow(Counting(4, 64, 10.0))
    counting.offer(request_id(2), made())
    until(lambda: grown(before)["counted"] == 1, "the second is counted, without the thread's being started again")
    counting.stop(30.0)
    assert [decode_propensities(record).request_id for record in records.records] == [request_id(2)]


def test_who_finds_the_queue_full_is_skipped_and_said_so_and_offering_never_waits(records):
    counting, before, one = counter(records), outcomes(), made()
    for n in range(300):  # nobody takes them: the thread was not started
        counting.offer(request_id(n), one)
    assert grown(before)["skipped"] == 300 - 256
    counting.start()
    counting.stop(60.0)
    assert grown(before) == {"counted": 256, "skipped": 44, "failed": 0}


def test_what_has_waited_too_long_is_skipped_so_that_no_retired_model_is_held(records):
    now = [100.0]
    counting, before = counter(records, monotonic=lambda: now[0]), outcomes()
    for n in range(3):
        counting.offer(request_id(n), made())
    now[0] += 21.0
    counting.offer(request_id(3), made())
    counting.start()
    until(lambda: sum(grown(before).values()) == 4, "all were looked at")
    counting.stop(30.0)
    assert grown(before) == {"counted": 1, "skipped": 3, "failed": 0}
    assert decode_propensities(records.records[0]).request_id == request_id(3)


def test_stopping_gives_up_in_time_and_counts_what_it_gives_up(records):
    held = threading.Event()

    class Slow(Records):
        def append(self, record: bytes) -> None:
            held.wait(30.0)
            super().append(record)

    counting, before = counter(Slow()), outcomes()
    counting.start()
    for n in range(5):
        counting.offer(request_id(n), made())
    counting.stop(0.05)
    assert grown(before)["skipped"] == 4
    held.set()


def test_a_full_disk_and_a_fault_cost_their_slate_only(records, caplog):
    counting, before = counter(records), outcomes()
    counting.start()
    records.is_full = True
    counting.offer(request_id(1), made())
    until(lambda: grown(before)["failed"] == 1, "the disk is found full")
    records.is_full = False
    counting.offer(request_id(2), made(scorer=None))
    counting.offer(request_id(3), made())
    counting.stop(30.0)
    assert [decode_propensities(record).request_id for record in records.records] == [request_id(3)]
    assert grown(before) == {"counted": 1, "skipped": 0, "failed": 2}
    assert "the disk is full" in caplog.text


def test_the_fuller_the_queue_the_fewer_the_draws_down_to_a_quarter():
    counting = Counting(4, 400, 0.2)
    assert [counting.stopping(fullness).max_draws for fullness in (0.0, 0.5, 0.9, 1.0)] == [400, 200, 100, 100]
    assert Counting(4, 8, 0.2).stopping(1.0).max_draws == 4


def test_the_allowance_is_a_share_of_what_the_others_take():
    cpu = Cpu()
    allowance = cpu.allowance(0.2)
    cpu.process = 1.0
    assert allowance.left_s() == pytest.approx(0.2)
    cpu.process, cpu.thread = 1.2, 0.2
    assert allowance.left_s() == pytest.approx(0.0)
    cpu.process, cpu.thread = 1.3, 0.3
    assert allowance.left_s() == pytest.approx(-0.1)
    cpu.process = 2.3
    assert allowance.left_s() == pytest.approx(0.1)


def test_what_was_not_used_is_saved_up_for_half_a_second_and_no_longer():
    cpu = Cpu()
    allowance = cpu.allowance(0.2)
    cpu.process = 1000.0
    assert allowance.left_s() == pytest.approx(0.5)
    cpu.process, cpu.thread = 1000.5, 0.5
    assert allowance.left_s() == pytest.approx(0.0)
