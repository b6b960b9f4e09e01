"""The replicas of one recommender: a target each, and of a name as many as it has addresses at the moment."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from gateway.recommenders.replica import Replica
from gateway.recommenders.targets import NAMED, parts_of
from omakase.serving.tls import MutualTls

log = logging.getLogger(__name__)

# How often a name is looked up. A pod that is new is asked within so long; one that is gone is found out at once by
# whoever asks it, and by nobody else: its breaker opens.
_LOOK_S = 5.0
_RETRY_S = 0.25
# A request may be on its way for so long after its replica's address has gone.
_IN_FLIGHT_S = 5.0

# Raises OSError for a name that has no address now.
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]


async def addresses_of(host: str, port: int) -> Sequence[str]:
    """The gRPC targets behind a name. Raises: OSError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # what Python says of a name with an empty or a long label
        raise OSError(f"{host!r} is no name: {error}") from error
    hosts = {str(address[0]) for *_, address in found}
    return sorted(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts)


class Replicas:
    """Who may be asked, and by turns whom.

    A stream stays with the connection that it was opened on, so that gRPC's own round robin would give the pods behind
    a name one stream each and most of them none. Here each address is a replica with streams and a breaker of its own.

    Guarantees: a name that cannot be looked up keeps the addresses that it had; an address that has gone is closed
    after what is in flight there. To be used on the event loop; `grown` is told of their number when it changes.
    """

    def __init__(
        self,
        name: str,
        targets: Sequence[str],
        timeout_s: float,
        tls: MutualTls | None,
        grown: Callable[[int], None],
        resolve: Resolve = addresses_of,
    ) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._tls = tls
        self._grown = grown
        self._resolve = resolve
        self._names = [target for target in targets if target.startswith(NAMED)]
        self._at: dict[str, dict[str, Replica]] = {
            target: {} if target in self._names else {target: Replica(name, target, timeout_s, tls)}
            for target in targets
        }
        self._all: list[Replica] = []
        self._turn = 0
        self._unknown: set[str] = set()
        self._following: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._count()

    def connect(self) -> None:
        """Begin to connect, so that the first request need not, and to follow the names."""
        for replica in self._all:
            replica.connect()
        if self._names and self._following is None:
            self._following = asyncio.get_running_loop().create_task(self._follow())

    def is_reachable(self) -> bool:
        """Whether one may be asked. Those that may not are looked at, when it is time to."""
        is_reachable = False
        for replica in self._all:
            if replica.breaker.is_open:
                replica.look()
            else:
                is_reachable = True
        return is_reachable

    def next(self, but: Replica | None = None) -> Replica | None:
        """Which to ask: of those that answer the one with the fewest calls under way, by turns."""
        self._turn += 1
        places = range(self._turn, self._turn + len(self._all))
        inturn = [self._all[place % len(self._all)] for place in places]
        return min(
            (replica for replica in inturn if replica is not but and not replica.breaker.is_open),
            key=lambda replica: replica.calls,
            default=None,
        )

    async def know(self, digest: str) -> bool:
        """Whether each that may be asked serves the configuration of this digest; not so if there is none at all."""
        asked = [replica.knows(digest) for replica in self._all if not replica.breaker.is_open]
        return bool(self._all) and all(await asyncio.gather(*asked))

    async def close(self) -> None:
        """Close all, those that retire too."""
        tasks = [*self._retiring, *([self._following] if self._following else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for replica in self._all:
            await replica.close()

    async def _follow(self) -> None:
        while True:
            for target in self._names:
                await self._look_up(target)
            await asyncio.sleep(_LOOK_S if all(self._at.values()) else _RETRY_S)

    async def _look_up(self, target: str) -> None:
        host, port = parts_of(target)
        try:
            found = await self._resolve(host, port)
        except OSError as error:
            if target not in self._unknown:
                log.warning("recommender %s: no address behind %s now: %s", self._name, target, error)
            self._unknown.add(target)
            return
        self._unknown.discard(target)
        self._become(target, host, found)

    def _become(self, target: str, host: str, addresses: Sequence[str]) -> None:
        before = self._at[target]
        gone = [before[address] for address in before.keys() - set(addresses)]
        fresh = [address for address in addresses if address not in before]
        if not gone and not fresh:
            return
        kept = {address: replica for address, replica in before.items() if address in addresses}
        opened = {address: Replica(self._name, address, self._timeout_s, self._tls, host) for address in fresh}
        self._at[target] = kept | opened
        self._count()
        for replica in opened.values():
            replica.connect()
        for replica in gone:
            replica.forget()
            task = asyncio.get_running_loop().create_task(self._retire(replica))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        log.info("recommender %s: %d addresses behind %s", self._name, len(self._at[target]), target)

    async def _retire(self, replica: Replica) -> None:
        try:
            await asyncio.sleep(self._timeout_s + _IN_FLIGHT_S)
        finally:
            await replica.close()

    def _count(self) -> None:
        self._all = [replica for behind in self._at.values() for replica in behind.values()]
        self._grown(len(self._all))
