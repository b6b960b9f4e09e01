"""One recommender deployment: its replicas, and what waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

from gateway import metrics
from gateway.recommenders.coalescing import Coalescer
from gateway.recommenders.replica import Asked, Away, Outcome, Replica
from omakase.core.ids import RequestId
from omakase.serving.tls import MutualTls
from omakase.v1 import recommender_pb2 as pb

log = logging.getLogger(__name__)

# Calls under way at each replica, and batches that may wait for one of them: more than that is not answered in time.
_CALLS = 2
_BATCHES_WAITING = 8
_TELL_S = 60.0

OnLate: TypeAlias = Callable[[RequestId], None]


class Recommender:
    """One recommender deployment, of one or more replicas that are asked by turns.

    What a replica surely did nothing for (no connection, or its own refusal) is asked for once more, of another one.
    Never after a timeout, for then it may have been recorded. What cannot be answered in time is refused at once: when
    no replica answers, and when too much waits already.
    """

    def __init__(
        self,
        name: str,
        targets: str | Sequence[str],
        timeout_s: float,
        tls: MutualTls | None = None,
        on_late: OnLate = lambda _: None,
    ) -> None:
        """`on_late` is told which slate was recorded to be shown and came too late for that."""
        targets = (targets,) if isinstance(targets, str) else targets
        self._name = name
        self._timeout_s = timeout_s
        self._replicas = [Replica(name, target, timeout_s, tls) for target in targets]
        self._asked: Coalescer[pb.RecommendRequest, pb.RecommendResponse] = Coalescer(
            self._send, self._late, calls=_CALLS * len(self._replicas)
        )
        self._most_waiting = _BATCHES_WAITING * self._asked.most * len(self._replicas)
        metrics.WAITING.labels(name).set_function(lambda: self._asked.depth)
        self._turn = 0
        self._tell_at = 0.0
        self._on_late = on_late

    async def ask(self, query: pb.RecommendRequest, timeout_s: float | None = None) -> pb.RecommendResponse:
        """An answer within `timeout_s`, at most the configured one.

        Raises: InvalidInput if the caller of the gateway can mend it; Away for everything else.
        """
        if not self._is_reachable():
            raise Away("open", "no replica answers")
        if self._asked.depth >= self._most_waiting or self._asked.age_s > self._timeout_s / 2:
            raise Away("overloaded", f"{self._asked.depth} requests wait for the recommender")
        timeout_s = self._timeout_s if timeout_s is None else min(timeout_s, self._timeout_s)
        try:
            return await self._asked.ask(query, timeout_s)
        except TimeoutError as error:
            raise Away("deadline_exceeded", str(error)) from error

    def connect(self) -> None:
        """Begin to connect, so that the first request need not."""
        for replica in self._replicas:
            replica.connect()

    async def knows(self, digest: str) -> bool:
        """Whether each replica that may be asked serves the configuration of this digest. Waits a second at most."""
        asked = [replica.knows(digest) for replica in self._replicas if not replica.breaker.is_open]
        return all(await asyncio.gather(*asked))

    async def close(self) -> None:
        for replica in self._replicas:
            await replica.close()

    def _is_reachable(self) -> bool:
        is_reachable = False
        for replica in self._replicas:
            if replica.breaker.is_open:
                replica.look()
            else:
                is_reachable = True
        return is_reachable

    async def _send(self, batch: Sequence[Asked]) -> Sequence[Outcome]:
        first = self._next()
        if first is None:
            raise Away("open", "no replica answers")
        outcomes = list(await first.ask(batch))
        again = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, Away) and outcome.is_untouched]
        if again and not first.breaker.is_open:  # which tells by itself
            self._tell(outcomes[again[0]])
        if again and (other := self._next(but=first)) is not None:
            metrics.RETRIES.labels(self._name).inc(len(again))
            for place, outcome in zip(again, await other.ask([batch[place] for place in again]), strict=True):
                outcomes[place] = outcome
        return outcomes

    def _next(self, but: Replica | None = None) -> Replica | None:
        """Which replica to ask: of those that answer the one with the fewest calls under way, by turns."""
        self._turn += 1
        places = range(self._turn, self._turn + len(self._replicas))
        inturn = [self._replicas[place % len(self._replicas)] for place in places]
        return min(
            (replica for replica in inturn if replica is not but and not replica.breaker.is_open),
            key=lambda replica: replica.calls,
            default=None,
        )

    def _late(self, query: pb.RecommendRequest, slate: pb.RecommendResponse) -> None:
        metrics.LATE.labels(self._name).inc()
        if not query.shadow:
            self._on_late(RequestId(slate.request_id))

    def _tell(self, refused: Outcome) -> None:
        """Of refusals, such as of a model that it lacks, once a minute."""
        now = asyncio.get_running_loop().time()
        if now >= self._tell_at:
            log.error("recommender %s refused, serving fallback slates: %s", self._name, refused)
            self._tell_at = now + _TELL_S
