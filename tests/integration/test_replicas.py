"""A gateway's recommender, before real servers that answer, refuse, hang, are not there, and come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack, closing
from typing import Any, Self

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.recommenders import Away, Recommender
from gateway.recommenders.recommender import OnLate
from omakase.v1 import recommender_pb2 as pb
from omakase.v1 import recommender_pb2_grpc
from tests.integration.stage import PATIENCE_S, free_port

TIMEOUT_S = 0.2


class Server(recommender_pb2_grpc.RecommenderServicer, health_pb2_grpc.HealthServicer):
    """Says its name as the model's version, unless it refuses, or hangs until it may go on."""

    def __init__(self, name: str, port: int = 0) -> None:
        self.name, self.port, self.heard, self.refusal = name, port, 0, grpc.StatusCode.OK
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        recommender_pb2_grpc.add_RecommenderServicer_to_server(self, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.goes_on.wait()
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    async def Recommend(self, request: Any, context: Any) -> Any:  # noqa: N802
        async for batch in request:
            self.heard += len(batch.requests)
            await self.goes_on.wait()
            reply = pb.RecommendReply(slate=pb.RecommendResponse(request_id=bytes(16), model_version=self.name))
            if self.refusal is not grpc.StatusCode.OK:
                reply = pb.RecommendReply(refusal=pb.Refusal(code=self.refusal.value[0], message="refused"))
            yield pb.RecommendReplies(replies=[reply] * len(batch.requests))


class Scene(AsyncExitStack):
    """Servers, and recommenders that are asked; all ended together."""

    async def server(self, name: str, port: int = 0) -> Server:
        return await self.enter_async_context(Server(name, port))

    def recommender(self, *targets: str, on_late: OnLate = lambda _: None) -> Recommender:
        recommender = Recommender("main", targets, TIMEOUT_S, on_late=on_late)
        self.push_async_callback(recommender.close)
        return recommender


async def asked(recommender: Recommender, times: int = 1, timeout_s: float | None = None) -> list[str]:
    """Who answered, or why nobody did, one question after another."""

    async def one() -> str:
        try:
            return (await recommender.ask(pb.RecommendRequest(), timeout_s)).model_version
        except Away as away:
            return away.reason

    return [await one() for _ in range(times)]


async def found_again(recommender: Recommender, name: str) -> None:
    for _ in range(500):
        if await asked(recommender) == [name]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{name} was not found again")


def play(scene: Awaitable[None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scene, PATIENCE_S)

    with closing(asyncio.new_event_loop()) as loop:  # `asyncio.run` would leave the thread without one
        loop.run_until_complete(bounded())


def test_replicas_are_asked_by_turns() -> None:
    async def scene() -> None:
        async with Scene() as on:
            a, b = await on.server("a"), await on.server("b")
            answers = await asked(on.recommender(a.target, b.target), 10)
            assert (answers.count("a"), answers.count("b")) == (5, 5)

    play(scene())


def test_where_no_connection_is_to_be_had_another_replica_serves() -> None:
    async def scene() -> None:
        async with Scene() as on:
            b = await on.server("b")
            assert await asked(on.recommender(f"127.0.0.1:{free_port()}", b.target), 10) == ["b"] * 10
            assert b.heard == 10

    play(scene())


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION])
def test_what_one_replica_refuses_is_asked_of_another_once(code: grpc.StatusCode) -> None:
    async def scene() -> None:
        async with Scene() as on:
            a, b = await on.server("a"), await on.server("b")
            a.refusal = code
            recommender = on.recommender(a.target, b.target)
            assert await asked(recommender, 6) == ["b"] * 6
            b.refusal = code
            a.heard = b.heard = 0
            assert await asked(recommender, 6) == [code.name.lower()] * 6
            assert (a.heard, b.heard) == (6, 6)

    play(scene())


def test_what_one_replica_may_have_recorded_is_asked_of_no_other() -> None:
    async def scene() -> None:
        async with Scene() as on:
            a, b = await on.server("a"), await on.server("b")
            a.goes_on.clear()
            answers = await asked(on.recommender(a.target, b.target), 8)
            assert set(answers) == {"b", "deadline_exceeded"}
            assert b.heard == answers.count("b")
            assert a.heard == answers.count("deadline_exceeded")

    play(scene())


def test_a_recommender_that_hangs_costs_few_requests_their_time_and_is_found_again() -> None:
    async def scene() -> None:
        async with Scene() as on:
            a = await on.server("a")
            recommender = on.recommender(a.target)
            assert await asked(recommender) == ["a"]
            a.goes_on.clear()
            reasons = await asked(recommender, 5)
            assert set(reasons[:3]) == {"deadline_exceeded"}
            assert reasons[-1] == "open"
            started = time.monotonic()
            assert await asked(recommender, 100) == ["open"] * 100
            assert time.monotonic() - started < TIMEOUT_S
            a.goes_on.set()
            await found_again(recommender, "a")

    play(scene())


def test_a_recommender_that_is_gone_is_found_again_at_its_address() -> None:
    async def scene() -> None:
        async with Scene() as on:
            async with Server("a") as a:
                recommender = on.recommender(a.target)
                assert await asked(recommender) == ["a"]
            assert set(await asked(recommender, 20)) <= {"unavailable", "open"}
            await on.server("again", a.port)
            await found_again(recommender, "again")

    play(scene())


def test_what_comes_too_late_is_told_unless_nobody_was_to_see_it() -> None:
    async def scene() -> None:
        async with Scene() as on:
            a = await on.server("a")
            late: list[bytes] = []
            recommender = on.recommender(a.target, on_late=late.append)
            for query in (pb.RecommendRequest(shadow=True), pb.RecommendRequest()):
                a.goes_on.clear()
                with pytest.raises(Away):
                    await recommender.ask(query)
                a.goes_on.set()
                assert await asked(recommender) == ["a"]
            assert late == [bytes(16)]

    play(scene())


def test_a_caller_may_be_less_patient_than_is_configured_and_no_more() -> None:
    async def scene() -> None:
        async with Scene() as on:
            a = await on.server("a")
            recommender = on.recommender(a.target)
            assert await asked(recommender, timeout_s=60) == ["a"]
            a.goes_on.clear()
            waited = []
            for timeout_s in (0.02, 60):
                started = time.monotonic()
                assert await asked(recommender, timeout_s=timeout_s) == ["deadline_exceeded"]
                waited.append(time.monotonic() - started)
            assert waited[0] < TIMEOUT_S <= waited[1]

    play(scene())


def test_more_than_can_wait_is_told_so_at_once() -> None:
    async def scene() -> None:
        async with Scene() as on:
            a = await on.server("a")
            recommender = on.recommender(a.target)
            a.goes_on.clear()
            answers = [asyncio.create_task(asked(recommender)) for _ in range(1000)]
            await asyncio.sleep(0)
            told = [answer for answer in answers if answer.done()]
            assert {tuple(answer.result()) for answer in told} == {("overloaded",)}
            assert len(told) == 1000 - 8 * 32
            await asyncio.wait_for(asyncio.gather(*answers), 10)

    play(scene())
