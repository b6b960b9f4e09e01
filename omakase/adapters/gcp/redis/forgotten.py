"""Who was forgotten, in the same Redis as the delivery records."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from omakase.adapters.gcp.redis.delivery_store import RECORD
from omakase.adapters.gcp.redis.server import Server
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput
from omakase.core.ids import Pseudonym

log = logging.getLogger(__name__)

# forgotten  when, by the hash of a pseudonym: 128 bits that need a key to be guessed.
_NOTE = """
for i = 2, #ARGV do
    local at = redis.call('HGET', KEYS[1] .. 'forgotten', ARGV[i])
    if not at or tonumber(at) < tonumber(ARGV[1]) then
        redis.call('HSET', KEYS[1] .. 'forgotten', ARGV[i], ARGV[1])
    end
end
"""
_SINCE = """
local all, found = redis.call('HGETALL', KEYS[1] .. 'forgotten'), {}
for i = 1, #all, 2 do
    if tonumber(all[i + 1]) >= tonumber(ARGV[1]) then
        found[#found + 1] = all[i]
        found[#found + 1] = all[i + 1]
    end
end
return found
"""
# The records are searched where they lie: only those that are to be changed cross the network.
_MENTIONING = """
local page = redis.call('SCAN', ARGV[1], 'MATCH', KEYS[1] .. ARGV[2] .. '*', 'COUNT', ARGV[3])
local found = {page[1]}
for _, key in ipairs(page[2]) do
    local body = redis.call('GET', key)
    for i = 4, #ARGV do
        if body and string.find(body, ARGV[i], 1, true) then
            found[#found + 1] = key
            found[#found + 1] = body
            break
        end
    end
end
return found
"""
# A record never changes but here: one that is not as it was read has expired, or somebody else forgets the same people.
_CHANGE = """
local count = 0
for i = 1, #ARGV, 3 do
    if redis.call('GET', ARGV[i]) == ARGV[i + 1] then
        redis.call('SET', ARGV[i], ARGV[i + 2], 'KEEPTTL')
        count = count + 1
    end
end
return count
"""
_PAGE = 1_000
_COMPARED = 20_000  # keys times texts in one step, in which the server does nothing else


class RedisForgotten:
    """Forgotten."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @classmethod
    def from_uri(cls, uri: Uri) -> RedisForgotten:
        return cls(Server.of(uri))

    def forget(self, people: Collection[Pseudonym], at: float) -> None:
        """See Forgotten. Raises: InvalidInput for an empty pseudonym, which is everybody who is not known."""
        if not all(people):
            raise InvalidInput("a pseudonym to forget must not be empty")
        if people:
            self._server.script("note who is forgotten in", _NOTE, at, *map(_hash, people))

    def find(self, people: Iterable[Pseudonym]) -> Mapping[Pseudonym, float]:
        """See Forgotten. Cost: one round trip."""
        asked = list(set(people))
        if not asked:
            return {}
        key, hashes = f"{self._server.prefix}forgotten", [_hash(person) for person in asked]
        found: Any = self._server.do("find who is forgotten in", lambda client: client.hmget(key, hashes))
        return {person: float(at) for person, at in zip(asked, found, strict=True) if at is not None}

    def since(self, at: float) -> Mapping[str, float]:
        """See Forgotten. Cost: one round trip; the server reads all that were ever forgotten, some 50 bytes each."""
        found = self._server.script("find who was forgotten lately in", _SINCE, at)
        return {person.hex(): float(when) for person, when in zip(found[::2], found[1::2], strict=True)}

    def rewrite(self, mentioning: Sequence[bytes], change: Callable[[bytes], bytes]) -> int:
        """See Forgotten. Guarantees: records that are put meanwhile stay what they are; each keeps its expiry.

        An append-only file still holds what they were until it is rewritten, which this starts where it may; a snapshot
        holds it until the next one. Cost: a round trip for each thousand keys, fewer for more than
        20 texts, and the server looks for every text in every body.
        """
        keys = max(1, min(_PAGE, _COMPARED // max(1, len(mentioning))))
        changed, cursor = 0, b"0"
        while True:
            page = self._server.script("search delivery records in", _MENTIONING, cursor, RECORD, keys, *mentioning)
            cursor, *flat = page
            changes: list[bytes | str | float] = []
            for key, body in zip(flat[::2], flat[1::2], strict=True):
                if (fresh := change(body)) != body:
                    changes += (key, body, fresh)
            if changes:
                changed += int(self._server.script("rewrite delivery records in", _CHANGE, *changes))
            if cursor == b"0":
                break
        if changed:
            self._server.do("rewrite the append-only file of", _rewrite_file)
        return changed


def _rewrite_file(client: Redis) -> None:
    told: Any = client.info("persistence")
    if not told.get("aof_enabled"):
        return
    try:
        client.bgrewriteaof()
    except ResponseError as error:  # Memorystore allows it to nobody, and one may be under way
        log.warning("the append-only file holds what was forgotten until it is rewritten: %s", error)


def _hash(person: Pseudonym) -> bytes:
    return sha256(person.encode()).digest()
