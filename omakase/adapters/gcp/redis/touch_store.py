"""Touches in Redis."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

import msgspec
from redis import Redis

from omakase.adapters.gcp.redis.server import Server
from omakase.adapters.uri import Uri
from omakase.core.ids import Pseudonym, RequestId
from omakase.ports.touches import Touch, Touched

# t:PERSON  a person's touches by their time, each as it is encoded: one of a unit and a user stands with both.
# touched  people by the time of their oldest touch, or before.
_NOTE = """
local p = KEYS[1]
for i = 1, #ARGV, 4 do
    for _, person in ipairs({ARGV[i + 2], ARGV[i + 3]}) do
        if person ~= '' then
            redis.call('ZADD', p .. 't:' .. person, ARGV[i + 1], ARGV[i])
            redis.call('ZADD', p .. 'touched', 'LT', ARGV[i + 1], person)
        end
    end
end
"""
_EXPIRE = """
local p, left = KEYS[1], tonumber(ARGV[2])
for _, person in ipairs(redis.call('ZRANGEBYSCORE', p .. 'touched', '-inf', ARGV[1], 'LIMIT', 0, left)) do
    local touches = p .. 't:' .. person
    local count = math.min(left, redis.call('ZCOUNT', touches, '-inf', ARGV[1]))
    if count > 0 then redis.call('ZREMRANGEBYRANK', touches, 0, count - 1) end
    local oldest = redis.call('ZRANGE', touches, 0, 0, 'WITHSCORES')
    if oldest[1] then
        redis.call('ZADD', p .. 'touched', oldest[2], person)
    else
        redis.call('ZREM', p .. 'touched', person)
    end
    left = left - count
    if left == 0 then break end
end
return ARGV[2] - left
"""
# The encoded touch begins with its unit and its user, each after its length: it is taken from the other one too.
_FORGET = """
local p, count = KEYS[1], 0
for _, person in ipairs(ARGV) do
    local touches = redis.call('ZRANGE', p .. 't:' .. person, 0, -1)
    for _, touch in ipairs(touches) do
        local unit_ends = 1 + string.byte(touch, 1)
        local user_ends = unit_ends + 1 + string.byte(touch, unit_ends + 1)
        redis.call('ZREM', p .. 't:' .. string.sub(touch, 2, unit_ends), touch)
        redis.call('ZREM', p .. 't:' .. string.sub(touch, unit_ends + 2, user_ends), touch)
    end
    redis.call('ZREM', p .. 'touched', person)
    count = count + #touches
end
return count
"""
_EXPIRE_STEP = 10_000

_Rest: TypeAlias = tuple[RequestId, float, float, str, str, str, tuple[tuple[int, str, bool], ...]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Rest).decode


class RedisTouches:
    """Touches. They go by `expire`, and not by themselves: how long an order reaches back is the product's to say.

    Guarantees: each method is one atomic step; what was acknowledged survives as far as RedisDeliveryStore says.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    @classmethod
    def from_uri(cls, uri: Uri) -> RedisTouches:
        return cls(Server.of(uri))

    def note(self, touches: Sequence[Touch]) -> None:
        """See Touches. One that is noted twice is there once. Cost: one round trip."""
        arguments: list[bytes | str | float] = []
        for touch in touches:
            if touch.unit or touch.user:
                arguments += (_packed(touch), touch.at, touch.unit, touch.user)
        if arguments:
            self._server.script("note touches in", _NOTE, *arguments)

    def of(self, people: Collection[Pseudonym], since: float, until: float, limit: int) -> list[Touch]:
        """See Touches. Cost: one round trip."""
        if not people:
            return []

        def look_up(client: Redis) -> list[list[bytes]]:
            with client.pipeline() as pipeline:
                for person in people:
                    key = f"{self._server.prefix}t:{person}"
                    pipeline.zrevrangebyscore(key, until, since, start=0, num=limit)
                return list(pipeline.execute())

        found: list[list[bytes]] = self._server.do("read touches from", look_up)
        touches = [_touch(packed) for packed in {packed for each in found for packed in each}]
        return sorted(touches, key=lambda touch: (touch.at, touch.request_id), reverse=True)[:limit]

    def expire(self, before: float) -> int:
        """See Touches. One of a unit and a user counts twice. Cost: one round trip."""
        return int(self._server.script("expire touches in", _EXPIRE, f"({before!r}", _EXPIRE_STEP))

    def forget(self, people: Collection[Pseudonym]) -> int:
        """See Touches. Cost: one round trip."""
        if not people:
            return 0
        return int(self._server.script("forget people in", _FORGET, *people))


def _packed(touch: Touch) -> bytes:
    unit, user = touch.unit.encode(), touch.user.encode()
    rest: Any = (touch.request_id, touch.at, touch.served_at, touch.placement, touch.variant, touch.policy, touch.items)
    return bytes([len(unit)]) + unit + bytes([len(user)]) + user + _encode(rest)


def _touch(packed: bytes) -> Touch:
    unit_ends = 1 + packed[0]
    user_ends = unit_ends + 1 + packed[unit_ends]
    who = Pseudonym(packed[1:unit_ends].decode()), Pseudonym(packed[unit_ends + 1 : user_ends].decode())
    request_id, at, served_at, placement, variant, policy, items = _decode(packed[user_ends:])
    touched = tuple(Touched(*item) for item in items)
    return Touch(request_id, at, *who, served_at, placement, variant, policy, touched)
