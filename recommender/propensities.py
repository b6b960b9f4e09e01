"""Counting how likely slates were, after they were recorded, on a thread of its own.

What it costs is bounded by construction: before each slate the thread looks at how much CPU time it has had and how
much the rest of the process, and waits for its share. Meanwhile slates wait for it in a queue. The fuller that is, the
fewer draws a slate gets, down to a quarter; who finds it full is not counted, and the propensities stay unknown.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np

from omakase.config import Product
from omakase.core.counting import count_propensities
from omakase.core.errors import OmakaseError
from omakase.core.ids import RequestId
from omakase.core.propensities import SlatePropensities, Stopping
from omakase.ports.delivery_log import DeliveryLog
from omakase.wire import encode_propensities
from recommender import metrics
from recommender.ranking import Made

log = logging.getLogger(__name__)

_QUEUE = 256
# A slate that waits keeps a mask of its catalogue: of a million items, a megabyte.
_QUEUE_ITEMS = 64_000_000
_LEAST_CAP = 0.25
_PAUSE_S = 0.02
# How long a slate may wait: ten generations of a model that is published every two seconds.
_PATIENCE_S = 20.0
# What may be saved up while little is asked for, and be used when much is.
_SAVED_S = 0.5


@dataclass(frozen=True, slots=True)
class Counting:
    """How much is counted. `cpu_share`: of the CPU time that the rest of the process takes; 0 counts nothing."""

    occurrences: int
    max_draws: int
    cpu_share: float

    def stopping(self, fullness: float) -> Stopping:
        """For a slate that is counted while the queue is so full: from 0, when there is time, to 1."""
        draws = round(self.max_draws * max(1.0 - fullness, _LEAST_CAP))
        return Stopping(self.occurrences, max(draws, self.occurrences))


def counting_of(product: Product) -> Counting:
    """How much a configuration wants counted."""
    counted = product.propensities
    return Counting(counted.occurrences, counted.max_draws, counted.cpu_share)


class Allowance:
    """CPU time for one thread: a share of what the rest of its process takes. To be asked in that thread."""

    def __init__(
        self,
        share: float,
        process: Callable[[], float] = time.process_time,
        thread: Callable[[], float] = time.thread_time,
    ) -> None:
        self._share = share
        self._process = process
        self._thread = thread
        self._process_before, self._thread_before = process(), thread()
        self._forgone_s = 0.0

    @property
    def spent_s(self) -> float:
        """CPU time of this thread."""
        return self._thread() - self._thread_before

    def left_s(self) -> float:
        """What may be spent now; below 0 where too much was. What was not used in time is gone."""
        spent_s = self.spent_s
        others_s = self._process() - self._process_before - spent_s
        left_s = self._share * others_s - spent_s - self._forgone_s
        if left_s > _SAVED_S:
            self._forgone_s += left_s - _SAVED_S
            return _SAVED_S
        return left_s


class PropensityCounter:
    """Counts the propensities of recorded slates and records them by request id.

    Guarantees: `offer` never waits. What is not counted is not recorded, and counted in a metric: a reader finds no
    propensity, and never a wrong one.
    """

    def __init__(
        self,
        counting: Counting,
        records: DeliveryLog,
        rng: np.random.Generator,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counting = counting
        self._records = records
        self._rng = rng
        self._monotonic = monotonic
        self._queue: SimpleQueue[tuple[float, RequestId, Made] | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._abandoning = threading.Event()
        self._thread = threading.Thread(target=self._run, name="propensities", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def follow(self, counting: Counting) -> None:
        """Count so much from now on."""
        self._counting = counting

    def offer(self, request_id: RequestId, made: Made) -> None:
        """Count this slate some time, unless its propensities are known, or too many slates wait already."""
        if self._counting.cpu_share == 0.0 or made.ranking.propensity is not None or not made.ranking.indices.size:
            return
        if self._fullness(made) >= 1.0 or self._stopping.is_set():
            metrics.PROPENSITIES.labels("skipped").inc()
            return
        self._queue.put((self._monotonic(), request_id, made))

    def stop(self, within_s: float) -> None:
        """Count what waits, with few draws and whatever share it takes; give up after `within_s`."""
        self._stopping.set()
        self._queue.put(None)
        self._thread.join(within_s)
        self._abandoning.set()
        if left := max(self._queue.qsize() - 1, 0):  # the last is the sign to end
            metrics.PROPENSITIES.labels("skipped").inc(left)
            log.warning("stopped before the propensities of %d slates were counted: they stay unknown", left)

    def _fullness(self, made: Made) -> float:
        waiting = self._queue.qsize()
        return max(waiting / _QUEUE, waiting * made.choice.eligible.size / _QUEUE_ITEMS)

    def _run(self) -> None:
        share, told_s = self._counting.cpu_share, 0.0
        allowance = Allowance(share)
        while (waiting := self._queue.get()) is not None:
            offered_at, request_id, made = waiting
            if share != self._counting.cpu_share:
                share, told_s = self._counting.cpu_share, 0.0
                allowance = Allowance(share)
            while not self._stopping.is_set() and allowance.left_s() <= 0.0 and not self._is_stale(offered_at):
                self._stopping.wait(_PAUSE_S)
            if self._abandoning.is_set():
                return
            if self._is_stale(offered_at) and not self._stopping.is_set():
                metrics.PROPENSITIES.labels("skipped").inc()
                continue
            self._count(request_id, made)
            spent_s = allowance.spent_s
            metrics.PROPENSITY_CPU_S.inc(spent_s - told_s)
            told_s = spent_s

    def _is_stale(self, offered_at: float) -> bool:
        """A slate that waits holds the model and the catalogue that it was made of."""
        return self._monotonic() > offered_at + _PATIENCE_S

    def _count(self, request_id: RequestId, made: Made) -> None:
        fullness = 1.0 if self._stopping.is_set() else self._fullness(made)
        stopping, rng = self._counting.stopping(fullness), self._rng
        try:
            positions = count_propensities(
                made.policy, made.scorer, made.context, made.choice, made.ranking.indices, stopping, rng
            )
            self._records.append(encode_propensities(SlatePropensities(request_id, positions)))
        except OmakaseError as error:
            metrics.PROPENSITIES.labels("failed").inc()
            log.error("propensities are not recorded: %s", error)
        except Exception:  # the thread must outlive it: without it no slate would be counted any more
            metrics.PROPENSITIES.labels("failed").inc()
            log.exception("propensities could not be counted")
        else:
            metrics.PROPENSITIES.labels("counted").inc()
