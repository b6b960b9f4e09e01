"""One recommender deployment, over gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TypeAlias

import grpc

from gateway import metrics
from gateway.recommenders.coalescing import Coalescer, Waiting
from omakase.core.errors import InvalidInput, NotFound, Unavailable
from omakase.serving.rpc import error_for, error_of
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
)


# For so long an answer that nobody waits for any more is listened to, to know that there was one.
_GRACE_S = 0.1
_CODES = {code.value[0]: code for code in grpc.StatusCode}

Asked: TypeAlias = Waiting[pb.RecommendRequest, pb.RecommendResponse]


class Away(Unavailable):
    """No answer to be had. `reason` is short and of few values, for a metric's label."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Recommender:
    """One recommender deployment. Says once that it went away and once that it is back."""

    def __init__(self, name: str, target: str, timeout_s: float) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._stub = recommender_pb2_grpc.RecommenderStub(self._channel)
        self._asked: Coalescer[pb.RecommendRequest, pb.RecommendResponse] = Coalescer(self._send, self._late)
        self._is_away = False

    async def ask(self, query: pb.RecommendRequest) -> pb.RecommendResponse:
        """One attempt within the deadline.

        Raises: InvalidInput if the caller of the gateway can mend it; Away for everything else.
        """
        try:
            response = await self._asked.ask(query, self._timeout_s)
        except InvalidInput:
            raise
        except TimeoutError as error:
            raise self._away("deadline_exceeded", str(error)) from error
        if self._is_away:
            self._tell(is_away=False)
        return response

    async def _send(self, batch: Sequence[Asked]) -> Sequence[pb.RecommendResponse | Exception]:
        """What is asked waits for its answer by itself: the call goes on a little longer, to hear of what was late."""
        now = asyncio.get_running_loop().time()
        for waiting in batch:
            waiting.question.left_ms = max(1, int((waiting.deadline - now) * 1000))
        request = pb.RecommendBatch(requests=[waiting.question for waiting in batch])
        timeout_s = batch[-1].deadline - now + _GRACE_S
        try:
            replies = await self._stub.Recommend(request, timeout=timeout_s)
        except grpc.RpcError as call:
            raise self._away(_reason(call.code()), str(error_of(call))) from call
        return [self._outcome(reply) for reply in replies.replies]

    def _outcome(self, reply: pb.RecommendReply) -> pb.RecommendResponse | Exception:
        if reply.HasField("slate"):
            return reply.slate
        code = _CODES[reply.refusal.code]
        error = error_for(code, reply.refusal.message)
        if isinstance(error, InvalidInput) and not isinstance(error, NotFound):
            return error
        return self._away(_reason(code), str(error))

    def _late(self, _: pb.RecommendResponse) -> None:
        metrics.LATE.labels(self._name).inc()

    def connect(self) -> None:
        """Begin to connect, so that the first request need not."""
        self._channel.get_state(try_to_connect=True)

    async def close(self) -> None:
        await self._channel.close(grace=None)

    def _away(self, reason: str, why: str) -> Away:
        self._tell(is_away=True, why=why)
        return Away(reason, why)

    def _tell(self, *, is_away: bool, why: str = "") -> None:
        if is_away and not self._is_away:
            log.error("recommender %s does not answer, serving fallback slates: %s", self._name, why)
        elif self._is_away and not is_away:
            log.info("recommender %s answers again", self._name)
        self._is_away = is_away


def _reason(code: grpc.StatusCode) -> str:
    return str(code.name).lower()
