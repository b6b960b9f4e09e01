"""Order lines that wait, and what they were attributed to, in Redis."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec

from omakase.adapters.gcp.redis.server import Server
from omakase.adapters.uri import Uri
from omakase.core.ids import Pseudonym, RequestId
from omakase.ports.orders import Credit, Order

# orders  lines by receipt; ordered  receipts by age.
_KEEP = """
local p = KEYS[1]
for i = 1, #ARGV, 3 do
    if redis.call('HSETNX', p .. 'orders', ARGV[i], ARGV[i + 2]) == 1 then
        redis.call('ZADD', p .. 'ordered', ARGV[i + 1], ARGV[i])
    end
end
"""
_DUE = """
local p, found = KEYS[1], {}
for _, receipt in ipairs(redis.call('ZRANGEBYSCORE', p .. 'ordered', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
    found[#found + 1] = receipt
    found[#found + 1] = redis.call('HGET', p .. 'orders', receipt)
end
return found
"""
_RELEASE = """
for _, receipt in ipairs(ARGV) do
    redis.call('HDEL', KEYS[1] .. 'orders', receipt)
    redis.call('ZREM', KEYS[1] .. 'ordered', receipt)
end
"""
# Only lines that are still there: what was released meanwhile must not come back.
_ANONYMISE = """
local count = 0
for i = 1, #ARGV, 2 do
    if redis.call('HEXISTS', KEYS[1] .. 'orders', ARGV[i]) == 1 then
        redis.call('HSET', KEYS[1] .. 'orders', ARGV[i], ARGV[i + 1])
        count = count + 1
    end
end
return count
"""

# credits  by line, each beginning with its unit after that one's length; credited  lines by age; u:UNIT  its lines.
_PUT = """
local p = KEYS[1]
for i = 1, #ARGV, 4 do
    if redis.call('HSETNX', p .. 'credits', ARGV[i], ARGV[i + 3]) == 1 then
        redis.call('ZADD', p .. 'credited', ARGV[i + 1], ARGV[i])
        if ARGV[i + 2] ~= '' then redis.call('SADD', p .. 'u:' .. ARGV[i + 2], ARGV[i]) end
    end
end
"""
_EXPIRE = """
local p = KEYS[1]
local old = redis.call('ZRANGEBYSCORE', p .. 'credited', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, line in ipairs(old) do
    local credit = redis.call('HGET', p .. 'credits', line)
    redis.call('SREM', p .. 'u:' .. string.sub(credit, 2, 1 + string.byte(credit, 1)), line)
    redis.call('HDEL', p .. 'credits', line)
end
if old[1] then redis.call('ZREMRANGEBYRANK', p .. 'credited', 0, #old - 1) end
return #old
"""
_FORGET = """
local p, count = KEYS[1], 0
for _, unit in ipairs(ARGV) do
    local lines = redis.call('SMEMBERS', p .. 'u:' .. unit)
    for _, line in ipairs(lines) do
        local credit = redis.call('HGET', p .. 'credits', line)
        redis.call('HSET', p .. 'credits', line, '\\0' .. string.sub(credit, 2 + string.byte(credit, 1)))
    end
    redis.call('DEL', p .. 'u:' .. unit)
    count = count + #lines
end
return count
"""
_EXPIRE_STEP = 10_000

_Line: TypeAlias = tuple[bytes, str, tuple[Pseudonym, ...], str, float | None, float, float]
_Rest: TypeAlias = tuple[float, RequestId, int, float, str, str, str, str]
_encode = msgspec.msgpack.Encoder().encode
_decode_line = msgspec.msgpack.Decoder(_Line).decode
_decode_rest = msgspec.msgpack.Decoder(_Rest).decode


class RedisOrders:
    """Orders. Guarantees: each method but `forget` is one atomic step; none of them expires."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @classmethod
    def from_uri(cls, uri: Uri) -> RedisOrders:
        return cls(Server.of(uri))

    def keep(self, orders: Sequence[Order]) -> None:
        """See Orders. Cost: one round trip."""
        arguments: list[bytes | str | float] = []
        for order in orders:
            arguments += (order.receipt_id, order.received_at, _packed_order(order))
        if arguments:
            self._server.script("keep orders in", _KEEP, *arguments)

    def due(self, received_before: float, limit: int) -> list[Order]:
        """See Orders. Cost: one round trip."""
        flat = self._server.script("read orders from", _DUE, f"({received_before!r}", limit)
        return list(map(_order, flat[::2], flat[1::2]))

    def release(self, receipt_ids: Iterable[bytes]) -> None:
        """See Orders. Cost: one round trip."""
        if receipts := list(receipt_ids):
            self._server.script("release orders in", _RELEASE, *receipts)

    def waiting(self) -> int:
        """See Orders."""
        return int(self._server.do("count orders in", lambda client: client.hlen(f"{self._server.prefix}orders")))

    def forget(self, people: Collection[Pseudonym]) -> int:
        """See Orders. A line that names one of them names nobody afterwards. Cost: reads all lines that wait."""
        key, named = f"{self._server.prefix}orders", set(people)
        lines: Any = self._server.do("read orders from", lambda client: client.hgetall(key))
        arguments: list[bytes | str | float] = []
        for order in map(_order, lines.keys(), lines.values()):
            if named.intersection(order.people):
                arguments += (order.receipt_id, _packed_order(replace(order, people=())))
        return int(self._server.script("forget people in", _ANONYMISE, *arguments)) if arguments else 0


class RedisCredits:
    """Credits. They go by `expire`, and not by themselves: an order told again must find where it went.

    Guarantees: each method is one atomic step.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    @classmethod
    def from_uri(cls, uri: Uri) -> RedisCredits:
        return cls(Server.of(uri))

    def put(self, credits: Sequence[Credit]) -> None:
        """See Credits. Cost: one round trip."""
        arguments: list[bytes | str | float] = []
        for credit in credits:
            arguments += (credit.line, credit.received_at, credit.unit, _packed_credit(credit))
        if arguments:
            self._server.script("put credits into", _PUT, *arguments)

    def find(self, lines: Iterable[bytes]) -> Mapping[bytes, Credit]:
        """See Credits. Cost: one round trip."""
        wanted = list(dict.fromkeys(lines))
        if not wanted:
            return {}
        key = f"{self._server.prefix}credits"
        found: Any = self._server.do("find credits in", lambda client: client.hmget(key, wanted))
        return {line: _credit(line, packed) for line, packed in zip(wanted, found, strict=True) if packed is not None}

    def expire(self, received_before: float) -> int:
        """See Credits. Cost: one round trip."""
        return int(self._server.script("expire credits in", _EXPIRE, f"({received_before!r}", _EXPIRE_STEP))

    def forget(self, people: Collection[Pseudonym]) -> int:
        """See Credits. Cost: one round trip."""
        named = [person for person in people if person]
        return int(self._server.script("forget people in", _FORGET, *named)) if named else 0


def _packed_order(order: Order) -> bytes:
    line: Any = (order.line, order.type, order.people, order.item_id, order.value, order.occurred_at, order.received_at)
    return _encode(line)


def _order(receipt_id: bytes, packed: bytes) -> Order:
    return Order(receipt_id, *_decode_line(packed))


def _packed_credit(credit: Credit) -> bytes:
    unit = credit.unit.encode()
    where: Any = (credit.received_at, credit.request_id, credit.position, credit.served_at)
    what: Any = (credit.placement, credit.variant, credit.policy, credit.item_id)
    return bytes([len(unit)]) + unit + _encode((*where, *what))


def _credit(line: bytes, packed: bytes) -> Credit:
    unit_ends = 1 + packed[0]
    unit = Pseudonym(packed[1:unit_ends].decode())
    received_at, request_id, position, served_at, placement, variant, policy, item_id = _decode_rest(packed[unit_ends:])
    return Credit(line, received_at, request_id, position, served_at, placement, variant, policy, unit, item_id)
