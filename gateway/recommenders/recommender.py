"""One recommender deployment: its replicas, and what waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

from gateway import metrics
from gateway.recommenders.coalescing import Coalescer
from gateway.recommenders.replica import Asked, Away, Outcome
from gateway.recommenders.replicas import Replicas, Resolve, addresses_of
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
        resolve: Resolve = addresses_of,
    ) -> None:
        """`on_late` is told which slate was recorded to be shown and came too late for that."""
        targets = (targets,) if isinstance(targets, str) else targets
        self._name = name
        self._timeout_s = timeout_s
        self._asked: Coalescer[pb.RecommendRequest, pb.RecommendResponse] = Coalescer(self._send, self._late)
        self._replicas = Replicas(name, targets, timeout_s, tls, self._spread, resolve)
        metrics.WAITING.labels(name).set_function(lambda: self._asked.depth)
        self._tell_at = 0.0
        self._on_late = on_late

    async def ask(self, query: pb.RecommendRequest, timeout_s: float | None = None) -> pb.RecommendResponse:
        """An answer within `timeout_s`, at most the configured one.

        Raises: InvalidInput if the caller of the gateway can mend it; Away for everything else.
        """
        if not self._replicas.is_reachable():
            raise Away("open", "no replica answers")
        if self._asked.depth >= self._most_waiting or self._asked.age_s > self._timeout_s / 2:
            raise Away("overloaded", f"{self._asked.depth} requests wait for the recommender")
        timeout_s = self._timeout_s if timeout_s is None else min(timeout_s, self._timeout_s)
        try:
            return await self._asked.ask(query, timeout_s)
        except TimeoutError as error:
            raise Away("deadline_exceeded", str(error)) from error

    def connect(self) -> None:
        """Begin to connect, so that the first request need not. What is a name is not asked before."""
        self._replicas.connect()

    async def knows(self, digest: str) -> bool:
        """Whether each replica that may be asked serves the configuration of this digest. Waits a second at most."""
        return await self._replicas.know(digest)

    async def close(self) -> None:
        await self._replicas.close()

    def _spread(self, replicas: int) -> None:
        """Over so many."""
        self._asked.calls = _CALLS * max(1, replicas)
        self._most_waiting = _BATCHES_WAITING * self._asked.most * max(1, replicas)

    async def _send(self, batch: Sequence[Asked]) -> Sequence[Outcome]:
        first = self._replicas.next()
        if first is None:
            raise Away("open", "no replica answers")
        outcomes = list(await first.ask(batch))
        again = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, Away) and outcome.is_untouched]
        if again and not first.breaker.is_open:  # which tells by itself
            self._tell(outcomes[again[0]])
        if again and (other := self._replicas.next(but=first)) is not None:
            metrics.RETRIES.labels(self._name).inc(len(again))
            for place, outcome in zip(again, await other.ask([batch[place] for place in again]), strict=True):
                outcomes[place] = outcome
        return outcomes

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
