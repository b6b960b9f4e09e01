"""Streams to one recommender: a call for each batch would cost both sides more than the ranking does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import grpc

from omakase.v1 import recommender_pb2 as pb

Lane: TypeAlias = "grpc.aio.StreamStreamCall[pb.RecommendBatch, pb.RecommendReplies]"


class Ended(Exception):
    """The recommender ended the stream before it took the batch: nothing was done."""


class Broken(Exception):
    """The stream broke off, or could not be opened, for which gRPC has many words."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.details = details


class Lanes:
    """Keeps streams open between batches; each has one batch under way. As many as there are batches at once."""

    def __init__(self, new_lane: Callable[[], Lane]) -> None:
        self._new_lane = new_lane
        self._idle: list[Lane] = []

    async def exchange(self, batch: pb.RecommendBatch, timeout_s: float) -> pb.RecommendReplies:
        """The replies to a batch.

        Raises: Ended; TimeoutError or Broken, and then nobody knows what was done.
        """
        lane = self._take()
        try:
            async with asyncio.timeout(timeout_s):
                await lane.write(batch)
                replies = await lane.read()
        except asyncio.InvalidStateError as error:  # it ended between two batches, and before this one was sent
            raise Ended("the stream had ended") from error
        except grpc.aio.AioRpcError as error:
            raise Broken(error.code(), error.details() or "") from error
        except BaseException:
            lane.cancel()
            raise
        if not isinstance(replies, pb.RecommendReplies):
            code = await lane.code()
            if code is not grpc.StatusCode.OK:
                raise Broken(code, await lane.details())
            raise Ended("the recommender ended the stream")
        self._idle.append(lane)
        return replies

    def close(self) -> None:
        for lane in self._idle:
            lane.cancel()
        self._idle.clear()

    def _take(self) -> Lane:
        while self._idle:
            lane = self._idle.pop()
            if not lane.done():
                return lane
        return self._new_lane()
