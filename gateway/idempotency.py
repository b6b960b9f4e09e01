"""The same answer to the same request, when it is sent again."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

from omakase.core.errors import InvalidInput

Name: TypeAlias = tuple[str, bytes]

MAX_KEY = 255


@dataclass(frozen=True, slots=True)
class _Kept:
    digest: bytes
    until: float
    answer: asyncio.Future[bytes]


class Answers:
    """Answers by the key that the caller named them with, for a while.

    Guarantees: of requests with one key, also such as come at once, one is worked on and all get its answer; a request
    that differs is refused; one that failed is forgotten, so that it may be tried again. Kept in this process: a
    request that is repeated to another replica is a new one. At most `most` answers and `most_bytes` are kept; of more,
    the oldest go first.
    """

    def __init__(
        self,
        keep_s: float = 600.0,
        most: int = 10_000,
        most_bytes: int = 64 << 20,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep_s = keep_s
        self._most = most
        self._most_bytes = most_bytes
        self._now = now
        self._kept: OrderedDict[Name, _Kept] = OrderedDict()
        self._bytes = 0

    async def of(self, name: Name, request: bytes, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """What `make` makes, or made for the same request before. `name` is whose key it is, and the key.

        Raises: InvalidInput for a key that names another request, or is too long; what `make` raises.
        """
        if not 1 <= len(name[1]) <= MAX_KEY:
            raise InvalidInput(f"Idempotency-Key: must have 1 to {MAX_KEY} characters")
        self._forget()
        digest = blake2b(request, digest_size=16).digest()
        kept = self._kept.get(name)
        if kept is not None:
            if kept.digest != digest:
                raise InvalidInput("Idempotency-Key: was sent with another request before; choose another key")
            return await asyncio.shield(kept.answer)
        return await self._made(name, digest, make)

    async def _made(self, name: Name, digest: bytes, make: Callable[[], Awaitable[bytes]]) -> bytes:
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._kept[name] = _Kept(digest, self._now() + self._keep_s, future)
        try:
            answer = await make()
        except BaseException as error:
            del self._kept[name]
            future.set_exception(error if isinstance(error, Exception) else ConnectionAbortedError())
            future.exception()  # whoever waits has it; if nobody does, that is no fault
            raise
        future.set_result(answer)
        self._bytes += len(answer)
        return answer

    def _forget(self) -> None:
        now = self._now()
        while self._kept:
            name, oldest = next(iter(self._kept.items()))
            is_too_much = len(self._kept) > self._most or self._bytes > self._most_bytes
            if not oldest.answer.done() or (oldest.until > now and not is_too_much):
                return
            del self._kept[name]
            self._bytes -= len(oldest.answer.result())
