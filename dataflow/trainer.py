"""The bounded trainer: reads the bus, folds what is due, commits, publishes; again and again."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Event

from dataflow.bounded import Outcome, Pipeline
from dataflow.examples import example_row
from dataflow.publishing import Publisher, batch_of
from dataflow.traces import Traces
from dataflow.transforms import MESSAGE, STATE
from omakase.core.accounting import CLOCK_TOLERANCE_S, UNDECODABLE, Tally, clock_fault
from omakase.core.calibration import Calibration
from omakase.core.errors import Corrupt, OmakaseError
from omakase.core.ids import RequestId, text_of
from omakase.core.sessions import Example
from omakase.ports.clock import Clock
from omakase.ports.dead_letters import DeadLetter
from omakase.ports.event_bus import EventLog, Logged, Message
from omakase.ports.model_store import ModelKey
from omakase.ports.training_state import Progress, Tick, TrainingState
from omakase.ports.warehouse import Warehouse
from omakase.wire import is_propensities, request_id_of

log = logging.getLogger(__name__)

CONSUMER = "trainer"
_WARN_S = 60.0


@dataclass(frozen=True, slots=True)
class Trainer:
    """One shard's trainer.

    A tick reads messages and due states, folds them in one bounded pipeline run, writes the examples to the warehouse
    under the tick's number, and commits offset, states, counts and batches in one transaction. Only then is anything
    published. Dying at any point repeats or continues the tick; nothing is learnt twice. Trainers of one state take
    turns.
    """

    log: EventLog
    state: TrainingState
    warehouse: Warehouse
    publisher: Publisher
    pipeline: Pipeline
    clock: Clock
    shard: str
    max_messages: int
    traces: Traces | None = None

    def run(self, stopping: Event, tick_s: float) -> None:
        """Tick every `tick_s`, at once while it is behind, until `stopping` is set. A tick that fails is repeated."""
        warned_at = -math.inf
        while not stopping.is_set():
            started = time.monotonic()
            try:
                is_behind = self.tick()
                if started > warned_at + _WARN_S and (fault := self.clock_fault()):
                    log.error("%s", fault)
                    warned_at = started
            except OmakaseError as error:
                log.error("this tick is tried again: %s", error)
                is_behind = False
            if not is_behind:
                stopping.wait(max(0.0, tick_s - (time.monotonic() - started)))

    def clock_fault(self) -> str:
        """What is wrong if sessions were closed as of a time that the clock has yet to reach; empty if nothing is."""
        ahead_s = self.state.progress().watermark - self.clock.now()
        return clock_fault(ahead_s) if ahead_s > CLOCK_TOLERANCE_S else ""

    def tick(self) -> bool:
        """Do what is due now. Returns whether more is waiting to be read. Waits while another trainer does."""
        with self.state.held():
            is_behind = self._tick()
        self.publisher.publish()
        return is_behind

    def _tick(self) -> bool:
        progress = self.state.progress()
        messages = self.log.read(progress.cursor, self.max_messages)
        is_behind = len(messages) == self.max_messages
        now = self.clock.now()
        if is_behind:
            # What was read decides what is due, not the wall clock: else a trainer that was away would close too early.
            # The oldest of it, for a bus may hand out what is new before what is old.
            now = min(now, *(logged.message.at for logged in messages))
        rules = self.pipeline.rules
        # A millisecond more: the sum that dropped a slate and this difference may round differently.
        next_closed_before = now - rules.reward_window_s - rules.allowed_lateness_s + 0.001
        self._fold(progress, messages, now, next_closed_before)
        return is_behind

    def drain(self) -> None:
        """Read everything, close every session, expire every window, publish at once. For the end of a run."""
        while self.tick():
            pass
        with self.state.held():
            self._fold(self.state.progress(), (), math.inf, self.clock.now())
        self.publisher.publish(at_once=True)

    def _fold(self, before: Progress, messages: Sequence[Logged], now: float, next_closed_before: float) -> None:
        work, dead = _sort(messages)
        states = self.state.load((RequestId(request_id) for request_id, _ in work), due_by=now)
        work += [(request_id, STATE + body) for request_id, body in states.items()]
        if not work and not messages:
            return
        began_ns = time.time_ns()
        outcome = self.pipeline.run(work, now, before.closed_before)
        cursor = messages[-1].offset if messages else before.cursor
        learnt = {ModelKey(key): before.sequences.get(ModelKey(key), 0) + 1 for key in outcome.statistics}
        watermark = now if math.isfinite(now) else next_closed_before
        progress = Progress(before.number + 1, cursor, next_closed_before, {**before.sequences, **learnt}, watermark)
        self._keep_examples(progress, outcome)
        tick = _tick(progress, outcome, [*dead, *_unusable(messages, outcome)])
        replays = [logged.message.key for logged in messages if not logged.message.units]
        self.state.commit(replace(tick, replays=replays))
        self.log.acknowledge(CONSUMER, cursor)
        if self.traces is not None:
            self.traces.learnt(outcome.examples, progress.sequences, began_ns)
        for letter in tick.dead:
            log.error("dead letter %s: %s: %s", text_of(letter.key), letter.reason, letter.detail)

    def _keep_examples(self, progress: Progress, outcome: Outcome) -> None:
        """Before the commit: a tick that is repeated replaces its part, even by nothing."""
        rows = [
            example_row(self.shard, progress.sequences[ModelKey(example.delivery.model)], example)
            for example in outcome.examples
        ]
        self.warehouse.append("examples", f"{self.shard}-{progress.number:012d}", rows)


def _sort(messages: Iterable[Logged]) -> tuple[list[tuple[bytes, bytes]], list[DeadLetter]]:
    """Messages by request id, and those that have none. Nothing is learnt from propensities."""
    work: list[tuple[bytes, bytes]] = []
    dead: list[DeadLetter] = []
    for logged in messages:
        body = logged.message.body
        if is_propensities(body):
            continue
        try:
            work.append((request_id_of(body), MESSAGE + body))
        except Corrupt as error:
            dead.append(_letter(logged.message, UNDECODABLE, str(error)))
    return work, dead


def _unusable(messages: Iterable[Logged], outcome: Outcome) -> Iterator[DeadLetter]:
    """The messages that the pipeline could not use; it knows only their bodies."""
    found = [entry for fold in outcome.folds.values() for entry in fold.unusable]
    if not found:
        return
    waiting: defaultdict[bytes, list[Message]] = defaultdict(list)
    for logged in messages:
        waiting[logged.message.body].append(logged.message)
    for body, reason, detail in found:
        yield _letter(waiting[body].pop(), reason, detail)


def _letter(message: Message, reason: str, detail: str) -> DeadLetter:
    return DeadLetter(message.key, message.kind, message.units, message.at, message.body, reason, detail)


def _tick(progress: Progress, outcome: Outcome, dead: Sequence[DeadLetter]) -> Tick:
    tally: Tally = Counter()
    for fold in outcome.folds.values():
        tally.update(fold.tally)
    learnt: defaultdict[str, list[Example]] = defaultdict(list)
    for example in outcome.examples:
        learnt[example.delivery.model].append(example)
    return Tick(
        progress=progress,
        states={request_id: fold.state for request_id, fold in outcome.folds.items()},
        tally=tally,
        batches=[
            batch_of(
                ModelKey(key),
                sums,
                [example.clicked_at for example in learnt[key] if example.clicked_at is not None],
                progress.sequences[ModelKey(key)],
                calibration=Calibration.of(learnt[key]),
            )
            for key, sums in sorted(outcome.statistics.items())
        ],
        dead=dead,
    )
