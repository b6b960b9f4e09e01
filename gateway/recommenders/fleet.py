"""The recommenders of one configuration after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeAlias

from gateway.recommenders.recommender import Recommender
from gateway.recommenders.targets import Target, Targets
from omakase.config import Product

Open: TypeAlias = Callable[[str, Target, float], Recommender]
# What tells one recommender from another: its name, its targets, its timeout.
Address: TypeAlias = tuple[str, tuple[str, ...], float]

# A request may be on its way for so long after nothing new goes there.
_IN_FLIGHT_S = 5.0


class Fleet:
    """Opens recommenders and closes them. One that two configurations name alike stays as it is, with its connections.

    To be used on the event loop.
    """

    def __init__(self, targets: Targets, open_one: Open = Recommender) -> None:
        self._targets = targets
        self._open_one = open_one
        self._open: dict[Address, Recommender] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    def named_by(self, product: Product) -> dict[str, Recommender]:
        """All of a configuration, by name; begins to connect to those that are new. Raises: InvalidConfig."""
        return {address[0]: self._at(address) for address in self._addresses(product)}

    def retire(self, product: Product) -> None:
        """Close those that this configuration does not name, when nothing can be in flight to them any more."""
        kept = set(self._addresses(product))
        gone = {address: self._open.pop(address) for address in self._open.keys() - kept}
        if gone:
            longest_s = max(timeout_s for _, _, timeout_s in gone)
            task = asyncio.create_task(_close(gone.values(), longest_s + _IN_FLIGHT_S))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        """Close all, those that retire too."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await _close(self._open.values())

    def _at(self, address: Address) -> Recommender:
        if address not in self._open:
            self._open[address] = self._open_one(*address)
            self._open[address].connect()
        return self._open[address]

    def _addresses(self, product: Product) -> list[Address]:
        return [
            (name, (target,) if isinstance(target, str) else tuple(target), product.recommenders[name].timeout_s)
            for name, target in self._targets.named_by(product).items()
        ]


async def _close(recommenders: Iterable[Recommender], after_s: float = 0.0) -> None:
    try:
        await asyncio.sleep(after_s)
    finally:
        for recommender in recommenders:
            await recommender.close()
