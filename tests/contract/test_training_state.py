"""Contract of the trainer's memory."""

import math
import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from omakase.core.accounting import DELIVERIES, EVENTS, RECEIVED, REDELIVERED, SERVED
from omakase.core.calibration import UNCALIBRATED, Calibration
from omakase.core.errors import Conflict, OmakaseError
from omakase.ports.dead_letters import DeadLetter
from omakase.ports.pending_batches import Batch
from omakase.ports.training_state import Progress, StoredState, Tick

COMMIT_FOR_EVER = """
import sys
from omakase.adapters import open_training_state
from omakase.ports.pending_batches import Batch
from omakase.ports.training_state import Progress, StoredState, Tick
state, n = open_training_state(sys.argv[1]), 0
while True:
    n += 1
    kept = {n.to_bytes(16, "big"): StoredState(b"state", float(n), 1, 0)}
    state.commit(Tick(Progress(n, 10 * n), kept, batches=[Batch("clicks/abc", b"sums", (float(n),), n, n)]))
    print(n, flush=True)
"""


def slate(n: int) -> bytes:
    return n.to_bytes(16, "big")


def letter(n: int, **changes) -> DeadLetter:
    fields = {"kind": EVENTS, "units": 1, "received_at": 100.0, "body": b"\xff", "reason": "undecodable"}
    return DeadLetter(**{"key": slate(n), "detail": "why", **fields, **changes})


def kept(due_at: float, body: bytes = b"state", open_events: int = 1, open_deliveries: int = 2) -> StoredState:
    return StoredState(body, due_at, open_events, open_deliveries)


def tick(number: int, **changes) -> Tick:
    return Tick(**{"progress": Progress(number, 10 * number), "states": {}, **changes})


@pytest.fixture
def state(training_states):
    return training_states.open()


def test_is_empty_at_first(state):
    assert state.progress() == Progress(0, 0, -math.inf)
    assert state.load([slate(1)], due_by=math.inf) == {}
    assert state.pending() == []
    assert [(side.total, side.ends, side.open) for side in state.account()] == [(0, {}, 0), (0, {}, 0)]


def test_a_tick_changes_everything_it_names(state):
    state.commit(
        tick(
            1,
            progress=Progress(1, 7, 100.0),
            states={slate(1): kept(5.0, b"one"), slate(2): kept(9.0, b"two")},
            tally=Counter({(DELIVERIES, SERVED): 6, (EVENTS, RECEIVED): 2, (EVENTS, "used"): 0}),
            batches=[Batch("clicks/abc", b"sums", (1.5, 2.5), 1, 1)],
        )
    )
    assert state.progress() == Progress(1, 7, 100.0, {"clicks/abc": 1})
    assert state.load([slate(1), slate(2), slate(3)], due_by=-1.0) == {slate(1): b"one", slate(2): b"two"}
    assert state.pending() == [Batch("clicks/abc", b"sums", (1.5, 2.5), 1, 1)]
    deliveries, events = state.account()
    assert (deliveries.total, deliveries.ends, deliveries.open) == (6, {}, 4)
    assert (events.total, events.ends, events.open) == (2, {}, 2)


@pytest.mark.parametrize("number", [0, 1, 3, 40])
def test_a_tick_whose_number_does_not_follow_changes_nothing(state, number):
    state.commit(tick(1, states={slate(1): kept(5.0)}))
    before = state.progress(), state.account(), state.pending()
    with pytest.raises(Conflict, match="does not follow 1"):
        state.commit(
            tick(
                number,
                states={slate(1): None, slate(2): kept(1.0)},
                tally=Counter({(EVENTS, RECEIVED): 1}),
                batches=[Batch("clicks/abc", b"sums", (), 1, 1)],
                dead=[letter(1)],
            )
        )
    assert (state.progress(), state.account(), state.pending()) == before
    assert state.load([slate(2)], due_by=math.inf) == {slate(1): b"state"}


def test_a_tick_that_cannot_be_kept_whole_is_not_kept_in_part(state):
    broken = StoredState(None, 1.0, 1, 1)
    with pytest.raises(OmakaseError):
        state.commit(tick(1, states={slate(1): kept(1.0), slate(2): broken}, tally=Counter({(EVENTS, RECEIVED): 1})))
    assert state.progress() == Progress()
    assert state.load([slate(1)], due_by=math.inf) == {}
    assert state.account()[1].total == 0


def test_of_many_trainers_that_run_the_same_tick_one_does(training_states):
    openers = [training_states.open() for _ in range(4)]

    def run(n: int) -> bool:
        try:
            openers[n % 4].commit(tick(1, tally=Counter({(EVENTS, RECEIVED): 1})))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(12))) == 1
    assert openers[0].account()[1].total == 1


def test_loads_what_is_asked_for_and_what_is_due(state):
    state.commit(tick(1, states={slate(n): kept(float(n), b"%d" % n) for n in range(10)}))
    assert set(state.load([], due_by=3.0)) == {slate(n) for n in range(4)}
    assert set(state.load([slate(8), slate(8), slate(99)], due_by=1.0)) == {slate(0), slate(1), slate(8)}


def test_loads_many_at_once(state):
    state.commit(tick(1, states={slate(n): kept(1e9) for n in range(3000)}))
    assert len(state.load((slate(n) for n in range(5000)), due_by=0.0)) == 3000


def test_a_state_is_replaced_or_dropped_by_a_later_tick(state):
    state.commit(tick(1, states={slate(1): kept(1.0, b"old"), slate(2): kept(1.0)}))
    state.commit(tick(2, states={slate(1): kept(50.0, b"new", open_events=0, open_deliveries=-1), slate(2): None}))
    assert state.load([], due_by=10.0) == {}
    assert state.load([slate(1), slate(2)], due_by=0.0) == {slate(1): b"new"}
    assert [side.open for side in state.account()] == [-1, 0]


def test_what_is_over_stays_over(state):
    state.commit(tick(1, progress=Progress(1, 0, 500.0)))
    state.commit(tick(2, progress=Progress(2, 0, 400.0)))
    assert state.progress() == Progress(2, 0, 500.0)


def test_each_model_counts_its_own_batches_and_goes_on_after_they_are_settled(state):
    state.commit(tick(1, batches=[Batch("a", b"a1", (), 1, 1), Batch("b", b"b1", (), 1, 1)]))
    state.settle("a", 1, 1, 10.0)
    state.commit(tick(2, batches=[Batch("b", b"b2", (), 2, 2), Batch("a", b"a2", (), 2, 2)]))
    found = [(batch.key, batch.last, batch.statistics) for batch in state.pending()]
    assert found == [("a", 2, b"a2"), ("b", 1, b"b1"), ("b", 2, b"b2")]


def test_settling_takes_a_model_s_batches_up_to_a_sequence_and_again_is_no_error(state):
    for number in (1, 2, 3):
        state.commit(
            tick(
                number,
                batches=[
                    Batch("a", b"sums", (float(number),), number, number),
                    Batch("b", b"sums", (), number, number),
                ],
            )
        )
    for _ in range(2):
        state.settle("a", 2, 5, 99.0)
    assert [(batch.key, batch.last) for batch in state.pending()] == [("a", 3), ("b", 1), ("b", 2), ("b", 3)]


def test_keeps_what_was_predicted_of_a_batch(state):
    told = Batch("a", b"sums", (), 1, 1, Calibration(7, 0.7, 2, 99.5))
    state.commit(tick(1, batches=[told, Batch("b", b"sums", (), 1, 1)]))
    assert state.pending() == [told, Batch("b", b"sums", (), 1, 1, UNCALIBRATED)]


def test_merged_batches_are_one_that_spans_their_sequences(state):
    for number in (1, 2, 3):
        state.commit(tick(number, batches=[Batch("a", b"sums", (float(number),), number, number)]))
    state.merge(Batch("a", b"whole", (1.0, 2.0), 1, 2))
    state.commit(tick(4, batches=[Batch("a", b"sums", (), 4, 4)]))
    assert [(batch.first, batch.last) for batch in state.pending()] == [(1, 2), (3, 3), (4, 4)]
    state.merge(Batch("a", b"all", (1.0, 2.0, 3.0), 1, 4))
    assert state.pending() == [Batch("a", b"all", (1.0, 2.0, 3.0), 1, 4)]


@pytest.mark.parametrize(("first", "last"), [(1, 4), (0, 2), (4, 5)])
def test_only_what_is_all_there_can_be_merged(state, first, last):
    for number in (1, 2, 3):
        state.commit(tick(number, batches=[Batch("a", b"sums", (), number, number)]))
    before = state.pending()
    with pytest.raises(Conflict):
        state.merge(Batch("a", b"whole", (), first, last))
    assert state.pending() == before


def test_counts_add_up_and_dead_letters_ended_as_rejected(state):
    state.commit(tick(1, tally=Counter({(EVENTS, RECEIVED): 3, (EVENTS, "used"): 2, (DELIVERIES, SERVED): 3})))
    state.commit(
        tick(
            2,
            tally=Counter({(EVENTS, RECEIVED): 1, (EVENTS, "used"): -1, (EVENTS, REDELIVERED): 1}),
            dead=[letter(1), letter(2, kind=DELIVERIES, units=3)],
        )
    )
    deliveries, events = state.account()
    assert (deliveries.total, deliveries.ends) == (6, {"rejected": 3})
    assert (events.total, events.ends) == (6, {"used": 1, REDELIVERED: 1, "rejected": 1})


def test_keeps_what_it_committed_when_the_trainer_is_killed(training_states, spawn):
    child = spawn(COMMIT_FOR_EVER, training_states.uri)
    acknowledged = 0
    while acknowledged < 30:
        acknowledged = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
    state = training_states.open()
    number, cursor = state.progress().number, state.progress().cursor
    assert number >= acknowledged
    assert cursor == 10 * number
    assert set(state.load([], due_by=math.inf)) == {slate(n) for n in range(1, number + 1)}
    assert [batch.last for batch in state.pending()] == list(range(1, number + 1))
    assert state.account()[1].open == number
