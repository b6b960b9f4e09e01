"""How long to try again when Redis fails, and what then to say."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from redis import Redis
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,
)

from omakase.core.errors import Overloaded, Unavailable

T = TypeVar("T")

_FIRST_S, _LONGEST_S = 0.05, 1.0
_ROOM_S = 5.0  # memory comes back by expiry, not in a moment

# A server that loads its data (LOADING) counts as a connection error there, and so does one that has too many.
_PASSING = (ConnectionError, TimeoutError, ReadOnlyError, MasterDownError)


@dataclass(frozen=True, slots=True)
class Patience:
    """Tries again for `seconds`, after pauses that double, each drawn anew so that clients do not come back together.

    What fails in another way, or for longer, is raised. Guarantees: nothing is swallowed; a call ends within `seconds`
    and one more timeout.
    """

    seconds: float

    def with_client(self, client: Redis, doing: str, work: Callable[[Redis], T]) -> T:
        """Raises: Unavailable, Overloaded where the server has no memory left."""
        give_up_at = time.monotonic() + self.seconds
        longest_s = _FIRST_S
        while True:
            try:
                return work(client)
            except OutOfMemoryError as error:
                raise Overloaded(f"{doing}: it is full: give it memory, or keep less by expiry_s", _ROOM_S) from error
            except AuthenticationError as error:
                raise Unavailable(f"{doing}: it refuses the password: {error}") from error
            except _PASSING as error:
                pause_s = random.uniform(0.0, longest_s)  # noqa: S311  not a secret
                if time.monotonic() + pause_s > give_up_at:
                    raise Unavailable(f"{doing}: {error}") from error
                if isinstance(error, ReadOnlyError):  # the name may lead to another server by now
                    client.connection_pool.disconnect(inuse_connections=False)
            except RedisError as error:
                raise Unavailable(f"{doing}: {error}") from error
            time.sleep(pause_s)
            longest_s = min(2 * longest_s, _LONGEST_S)
