"""One address of a recommender, over gRPC, behind a circuit breaker."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import cached_property
from typing import TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway import metrics
from gateway.recommenders.breaker import Breaker
from gateway.recommenders.coalescing import Waiting
from gateway.recommenders.lanes import Broken, Ended, Lanes
from omakase.core.errors import InvalidInput, NotFound, Unavailable
from omakase.serving import tracing
from omakase.serving.rpc import error_for, knowing, new_channel
from omakase.serving.tls import MutualTls
from omakase.v1 import recommender_pb2 as pb
from omakase.v1 import recommender_pb2_grpc

log = logging.getLogger(__name__)

# A recommender that was restarted at its address is found again within a quarter of a second; an address that answers
# nothing holds no request longer than its deadline.
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 250),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.enable_retries", 0),
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
)
# How gRPC says that there was no connection to send a call over. Of a call that broke off it says something else.
_NOT_SENT = "connections to all backends failing"
# For so long an answer that nobody waits for any more is listened to, to know that there was one.
_GRACE_S = 0.1
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Away(Unavailable):
    """No answer to be had. `reason` is short and of few values, for a metric's label.

    `is_untouched`: surely nothing was done and nothing recorded, so that it may be asked for once more elsewhere.
    """

    def __init__(self, reason: str, message: str, *, is_untouched: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.is_untouched = is_untouched


Asked: TypeAlias = Waiting[pb.RecommendRequest, pb.RecommendResponse]
Outcome: TypeAlias = pb.RecommendResponse | InvalidInput | Away


class Replica:
    """One target of a recommender. Says once that it does not answer and once that it is back.

    While its breaker is open it is looked at by gRPC's health check, which tells whether it serves, so that no request
    has to wait to find that out.
    """

    def __init__(
        self, name: str, target: str, timeout_s: float, tls: MutualTls | None = None, host: str | None = None
    ) -> None:
        """`host`: whose certificate it shows, where the target is but an address of it."""
        self.breaker = Breaker()
        self.calls = 0  # under way
        self._name = name
        self._target = target
        self._timeout_s = timeout_s
        self._tls = tls
        self._options = _OPTIONS if host is None else (*_OPTIONS, ("grpc.ssl_target_name_override", host))
        self._look: asyncio.Task[None] | None = None
        self._is_open = metrics.BREAKER_OPEN.labels(name, target)
        self._is_open.set(0)

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        """Made when it is first used: it belongs to the loop that it is used on."""
        return new_channel(self._target, self._tls, self._options)

    @cached_property
    def _lanes(self) -> Lanes:
        return Lanes(recommender_pb2_grpc.RecommenderStub(self._channel).Recommend)

    @cached_property
    def _health(self) -> health_pb2_grpc.HealthStub:
        return health_pb2_grpc.HealthStub(self._channel)

    async def ask(self, batch: Sequence[Asked]) -> Sequence[Outcome]:
        """One call; one outcome for each of the batch, whatever happens.

        What is asked waits for its answer by itself: the call goes on a little longer, to hear of what was late.
        """
        now = asyncio.get_running_loop().time()
        for waiting in batch:
            waiting.question.left_ms = max(1, int((waiting.deadline - now) * 1000))
        request = pb.RecommendBatch(requests=[waiting.question for waiting in batch])
        timeout_s = max(waiting.deadline for waiting in batch) - now + _GRACE_S
        self.calls += 1
        began_ns = time.time_ns() if tracing.is_on() else 0
        try:
            replies = await self._lanes.exchange(request, timeout_s)
        except Ended as ended:
            return [Away("unavailable", str(ended), is_untouched=True)] * len(batch)
        except TimeoutError:
            return [self._failed(grpc.StatusCode.DEADLINE_EXCEEDED, "no reply in time")] * len(batch)
        except Broken as broken:
            return [self._failed(grpc.StatusCode.UNAVAILABLE, broken.details)] * len(batch)
        finally:
            self.calls -= 1
            if began_ns:
                self._trace(batch, began_ns)
        if self.breaker.is_open:
            self._tell_open(is_open=False)
        self.breaker.succeeded()
        return [_outcome(reply) for reply in replies.replies]

    def look(self) -> None:
        """Look whether it is well, if its breaker says that it is time to. Does not wait."""
        if self.breaker.may_look():
            self._look = asyncio.get_running_loop().create_task(self._looked())

    def connect(self) -> None:
        """Begin to connect, so that the first request need not."""
        self._channel.get_state(try_to_connect=True)

    async def knows(self, digest: str) -> bool:
        """Whether it serves the configuration of this digest. Waits a second at most."""
        try:
            told = await self._health.Check(health_pb2.HealthCheckRequest(service=knowing(digest)), timeout=1.0)
        except grpc.RpcError:
            return False
        return bool(told.status == health_pb2.HealthCheckResponse.SERVING)

    def forget(self) -> None:
        """Say no more of it in the metrics: its address has gone."""
        metrics.BREAKER_OPEN.remove(self._name, self._target)

    async def close(self) -> None:
        if self._look is not None:
            self._look.cancel()
        self._lanes.close()
        await self._channel.close(grace=None)

    async def _looked(self) -> None:
        try:
            health = await self._health.Check(health_pb2.HealthCheckRequest(), timeout=self._timeout_s)
        except grpc.RpcError:
            return
        if health.status == health_pb2.HealthCheckResponse.SERVING and self.breaker.is_open:
            self.breaker.looked_well()
            self._tell_open(is_open=False)

    def _trace(self, batch: Sequence[Asked], began_ns: int) -> None:
        """A span in the trace of the first that has one, linked to the others: a call is for many."""
        traced = [waiting.question.trace for waiting in batch if waiting.question.trace]
        if traced:
            told: dict[str, str | int] = {"recommender": self._name, "requests": len(batch)}
            tracing.past("call", traced[0], began_ns, time.time_ns(), told, links=traced[1:])

    def _failed(self, code: grpc.StatusCode, details: str) -> Away:
        why = f"{code.name}: {details}"
        is_not_sent = code is grpc.StatusCode.UNAVAILABLE and details.startswith(_NOT_SENT)
        was_open = self.breaker.is_open
        self.breaker.failed(is_nothing_there=is_not_sent)
        if self.breaker.is_open and not was_open:
            self._tell_open(is_open=True, why=why)
        return Away(_reason(code), why, is_untouched=is_not_sent)

    def _tell_open(self, *, is_open: bool, why: str = "") -> None:
        self._is_open.set(is_open)
        if is_open:
            log.error("recommender %s at %s does not answer, asking it no more: %s", self._name, self._target, why)
        else:
            log.info("recommender %s at %s answers again", self._name, self._target)


def _outcome(reply: pb.RecommendReply) -> Outcome:
    if reply.HasField("slate"):
        return reply.slate
    code = _CODES[reply.refusal.code]
    error = error_for(code, reply.refusal.message)
    if isinstance(error, InvalidInput) and not isinstance(error, NotFound):
        return error
    return Away(_reason(code), str(error), is_untouched=True)  # a refusal says that nothing was recorded


def _reason(code: grpc.StatusCode) -> str:
    return str(code.name).lower()
