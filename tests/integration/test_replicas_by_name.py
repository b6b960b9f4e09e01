"""A recommender deployment that has one name and as many addresses as pods, which come and go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest
from prometheus_client import REGISTRY

from gateway.recommenders import Recommender
from gateway.recommenders.replicas import addresses_of
from omakase.v1 import recommender_pb2_grpc
from tests.integration.certificates import Authority, needs_openssl
from tests.integration.test_replicas import Scene, Server, asked, play

NAME = "dns:///recommender-main:50051"
LOOK_S = 0.02


class Zone:
    """What the name stands for, now."""

    def __init__(self, *servers: Server) -> None:
        self.addresses = [server.target for server in servers]
        self.asked: list[tuple[str, int]] = []

    async def was_asked(self, times: int) -> None:
        """Return once it was asked so often again."""
        asked = len(self.asked)
        for _ in range(500):
            if len(self.asked) >= asked + times:
                return
            await asyncio.sleep(LOOK_S)
        raise AssertionError("the name was not looked up again")

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        if not self.addresses:
            raise OSError("no such name")
        return self.addresses


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.recommenders.replicas._LOOK_S", LOOK_S)
    monkeypatch.setattr("gateway.recommenders.replicas._IN_FLIGHT_S", 0.0)


async def following(on: Scene, zone: Zone) -> Recommender:
    recommender = Recommender("main", NAME, 1.0, resolve=zone.resolve)
    on.push_async_callback(recommender.close)
    recommender.connect()
    return recommender


async def until_asked(recommender: Recommender, expected: set[str]) -> Counter[str]:
    for _ in range(500):
        told = Counter(await asked(recommender, 16))
        if told.keys() == expected:
            return told
        await asyncio.sleep(0.01)
    raise AssertionError(f"asked {told}, not {expected}")


def breakers() -> set[str]:
    (family,) = (family for family in REGISTRY.collect() if family.name == "omakase_gateway_breaker_open")
    return {sample.labels["target"] for sample in family.samples}


def test_every_address_of_a_name_is_asked_and_all_alike() -> None:
    async def scene() -> None:
        async with Scene() as on:
            servers = [await on.server(name) for name in "abcdefgh"]
            zone = Zone(*servers)
            told = await until_asked(await following(on, zone), set("abcdefgh"))
            assert set(told.values()) == {2}
            assert zone.asked[0] == ("recommender-main", 50051)

    play(scene())


def test_a_new_address_is_asked_and_one_that_has_gone_is_not() -> None:
    async def scene() -> None:
        async with Scene() as on:
            a, b = await on.server("a"), await on.server("b")
            zone = Zone(a)
            recommender = await following(on, zone)
            await until_asked(recommender, {"a"})
            zone.addresses = [a.target, b.target]
            await until_asked(recommender, {"a", "b"})
            zone.addresses = [b.target]
            await until_asked(recommender, {"b"})
            assert b.target in breakers()
            assert a.target not in breakers()

    play(scene())


def test_a_name_without_an_address_keeps_those_it_had_and_answers_before_that_are_none() -> None:
    async def scene() -> None:
        async with Scene() as on:
            a, zone = await on.server("a"), Zone()
            recommender = await following(on, zone)
            assert await asked(recommender, 3) == ["open"] * 3
            assert not await recommender.knows("digest")
            zone.addresses = [a.target]
            await until_asked(recommender, {"a"})
            zone.addresses = []
            await zone.was_asked(3)
            assert await asked(recommender, 3) == ["a"] * 3

    play(scene())


def test_what_is_under_way_at_an_address_that_goes_is_answered() -> None:
    async def scene() -> None:
        async with Scene() as on:
            a, b = await on.server("a"), await on.server("b")
            zone = Zone(a)
            recommender = await following(on, zone)
            await until_asked(recommender, {"a"})
            a.goes_on.clear()
            under_way = asyncio.create_task(asked(recommender))
            zone.addresses = [b.target]
            await zone.was_asked(2)
            assert await asked(recommender, 4) == ["b"] * 4
            a.goes_on.set()
            assert await under_way == ["a"]

    play(scene())


@needs_openssl
def test_each_address_has_to_show_the_certificate_of_the_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")

    async def scene() -> None:
        server = grpc.aio.server()
        recommender_pb2_grpc.add_RecommenderServicer_to_server(Server("a"), server)
        port = server.add_secure_port("127.0.0.2:0", authority.tls("server").server())  # signed for localhost
        await server.start()

        async def resolve(*_: object) -> Sequence[str]:
            return [f"127.0.0.2:{port}"]

        answers = {}
        for host in ("localhost", "elsewhere"):
            recommender = Recommender("main", f"dns:///{host}:1", 1.0, authority.tls("client"), resolve=resolve)
            recommender.connect()
            for _ in range(100):
                if not await asyncio.sleep(0.01) and (answer := await asked(recommender)) != ["open"]:
                    break
            answers[host] = answer
            await recommender.close()
        await server.stop(None)
        assert answers["localhost"] == ["a"]
        assert answers["elsewhere"] != ["a"]

    play(scene())


def test_a_name_is_looked_up_as_the_system_does() -> None:
    assert "127.0.0.1:50051" in asyncio.run(addresses_of("localhost", 50051))
    with pytest.raises(OSError, match=r".+"):
        asyncio.run(addresses_of("no-such-name.invalid", 50051))


@pytest.mark.parametrize("host", ["recommender..svc", "r" * 64])
def test_what_can_be_no_name_is_said_like_a_name_that_is_unknown(host: str) -> None:
    with pytest.raises(OSError, match="is no name"):
        asyncio.run(addresses_of(host, 50051))
