"""The recommenders that variants are served by, over gRPC."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

import grpc

from omakase.config.schema import Product
from omakase.core.errors import InvalidConfig, InvalidInput, NotFound, Unavailable
from omakase.serving.rpc import error_of
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
        self._is_away = False

    async def ask(self, query: pb.RecommendRequest) -> pb.RecommendResponse:
        """One attempt within the deadline.

        Raises: InvalidInput if the caller of the gateway can mend it; Away for everything else.
        """
        try:
            response: pb.RecommendResponse = await self._stub.Recommend(query, timeout=self._timeout_s)
        except grpc.RpcError as call:
            error = error_of(call)
            if isinstance(error, InvalidInput) and not isinstance(error, NotFound):
                raise error from call
            self._tell(is_away=True, why=str(error))
            raise Away(_reason(call), str(error)) from call
        if self._is_away:
            self._tell(is_away=False)
        return response

    def connect(self) -> None:
        """Begin to connect, so that the first request need not."""
        self._channel.get_state(try_to_connect=True)

    async def close(self) -> None:
        await self._channel.close(grace=None)

    def _tell(self, *, is_away: bool, why: str = "") -> None:
        if is_away and not self._is_away:
            log.error("recommender %s does not answer, serving fallback slates: %s", self._name, why)
        elif self._is_away and not is_away:
            log.info("recommender %s answers again", self._name)
        self._is_away = is_away


def open_recommenders(product: Product, targets: str) -> dict[str, Recommender]:
    """One per recommender of the configuration. `targets` is JSON, name to target, and goes before the configuration's.

    Raises: InvalidConfig naming every recommender that has no target and every name that the configuration lacks.
    """
    given = _targets_of(targets)
    faults = [f"recommenders: {name!r} is not in the configuration" for name in given.keys() - product.recommenders]
    found = {}
    for name, recommender in product.recommenders.items():
        target = given.get(name) or recommender.target
        if target is None:
            faults.append(f"recommenders.{name}: needs a target, here or in OMAKASE_RECOMMENDERS")
        else:
            found[name] = (target, recommender.timeout_s)
    if faults:
        raise InvalidConfig(sorted(faults))
    return {name: Recommender(name, target, timeout_s) for name, (target, timeout_s) in found.items()}


def _targets_of(targets: str) -> Mapping[str, str]:
    try:
        given = json.loads(targets)
    except ValueError:
        given = None
    if not isinstance(given, dict) or not all(isinstance(target, str) for target in given.values()):
        raise InvalidConfig(['OMAKASE_RECOMMENDERS: must be a JSON object such as {"main": "127.0.0.1:9000"}'])
    return given


def _reason(call: grpc.RpcError) -> str:
    return str(call.code().name).lower()
