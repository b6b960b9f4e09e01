from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.recommenders import Fleet, Recommender, Targets, fleet
from omakase.config import Product, parse_product
from omakase.core.errors import InvalidConfig
from omakase.sockets import socket_of


class Opened(Recommender):
    """A real one that remembers whether it was closed."""

    is_closed = False

    async def close(self) -> None:
        await super().close()
        self.is_closed = True


def product(recommenders: str) -> Product:
    return parse_product(
        f"""
placements: {{home: {{variants: {{all: {{share: 10000, policy: chance, recommender: main}}}}}}}}
policies: {{chance: {{type: uniform}}}}
recommenders: {{{recommenders}}}
"""
    )


ONE = product('main: {target: "127.0.0.1:1"}')
TWO = product('main: {target: "127.0.0.1:1"}, second: {target: "127.0.0.1:2"}')
MOVED = product('main: {target: "127.0.0.1:3"}')
LOCAL = product("main: {}")


def following(*products: Product) -> tuple[list[dict[str, Recommender]], set[Recommender]]:
    """What each configuration finds, and which of it was closed in the end; each retires what it does not name."""

    async def follow() -> tuple[list[dict[str, Recommender]], set[Recommender]]:
        ours, found = Fleet(Targets({}), Opened), []
        for one in products:
            found.append(ours.named_by(one))
            ours.retire(one)
        for _ in range(10):
            await asyncio.sleep(0.001)
        ever = {recommender for recommenders in found for recommender in recommenders.values()}
        closed = {recommender for recommender in ever if isinstance(recommender, Opened) and recommender.is_closed}
        await ours.close()
        assert all(isinstance(recommender, Opened) and recommender.is_closed for recommender in ever)
        return found, closed

    return asyncio.run(follow())


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "_IN_FLIGHT_S", -0.25)


def test_what_two_configurations_name_alike_is_one_and_stays_open():
    (first, second), closed = following(ONE, TWO)
    assert first["main"] is second["main"]
    assert closed == set()


@pytest.mark.parametrize("after", [ONE, MOVED])
def test_what_is_not_named_any_more_is_closed_when_nothing_is_in_flight(after):
    (first, second), closed = following(TWO, after)
    assert closed == set(first.values()) - set(second.values())
    assert first["second"] in closed


def test_one_without_a_target_is_on_this_machine_if_sockets_are():
    assert Targets({}, "/run/x").named_by(LOCAL) == {"main": socket_of("/run/x", "main")}
    assert Targets({"main": "elsewhere:1"}, "/run/x").named_by(LOCAL) == {"main": "elsewhere:1"}
    with pytest.raises(InvalidConfig, match=r"recommenders.main: needs a target"):
        Targets({}).named_by(LOCAL)


def test_a_name_that_was_taken_out_may_still_have_a_target():
    given: dict[str, str | Sequence[str]] = {"main": "a:1", "gone": "b:2"}
    assert Targets(given).named_by(LOCAL).keys() == {"main"}
