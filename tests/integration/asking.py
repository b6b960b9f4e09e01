"""A recommender's client, one request at a time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import starmap
from typing import Any

import grpc

from omakase.v1 import recommender_pb2, recommender_pb2_grpc
from tests.integration.stage import PATIENCE_S


class Refused(grpc.RpcError):
    """What was wrong with one request of a batch, as if its call had failed."""

    def __init__(self, refusal: recommender_pb2.Refusal) -> None:
        super().__init__(refusal.message)
        self._refusal = refusal

    def code(self) -> grpc.StatusCode:
        return next(code for code in grpc.StatusCode if code.value[0] == self._refusal.code)

    def details(self) -> str:
        return self._refusal.message


@dataclass(frozen=True, slots=True)
class RankedItem:
    """A row of a reply's columns."""

    item_id: str
    delivery_id: str
    position: int
    score: float
    predicted_click: float | None
    expected_value: float | None


def items_of(reply: recommender_pb2.RecommendResponse) -> list[RankedItem]:
    nothing = [None] * len(reply.item_id)
    columns = reply.score, reply.predicted_click or nothing, reply.expected_value or nothing
    positions = range(1, len(nothing) + 1)
    return list(starmap(RankedItem, zip(reply.item_id, reply.delivery_id, positions, *columns, strict=True)))


class Asking:
    """A recommender's client that sends batches of one."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = recommender_pb2_grpc.RecommenderStub(channel)

    def __call__(self, request: recommender_pb2.RecommendRequest, timeout_s: float = PATIENCE_S) -> Any:
        """Raises: Refused; grpc.RpcError."""
        batch = recommender_pb2.RecommendBatch(requests=[request])
        (reply,) = next(self._stub.Recommend(iter([batch]), timeout=timeout_s)).replies
        if reply.HasField("refusal"):
            raise Refused(reply.refusal)
        return reply.slate
