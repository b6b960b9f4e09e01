"""Delivery records, and the events that wait for one, in Redis."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from redis import Redis

from omakase.adapters.gcp.redis.server import Server
from omakase.adapters.uri import Uri
from omakase.core.ids import RequestId
from omakase.ports.delivery_store import Parked, StoredSlate

RECORD: Final = "s:"
"""After the prefix, and before a request id: the key of its record."""

# s:ID  a record, which goes by itself; age  ids by when they were served.
# events  parked events by receipt; waiting, ready  their receipts by age, without a record and with one;
# w:ID  the receipts that wait for it. `ready` is filled when the record comes, whichever of the two was first.
_PUT = """
local p, expiry_ms = KEYS[1], ARGV[1]
for i = 2, #ARGV, 3 do
    local id = ARGV[i]
    if redis.call('SET', p .. 's:' .. id, ARGV[i + 2], 'NX', 'PX', expiry_ms) then
        redis.call('ZADD', p .. 'age', ARGV[i + 1], id)
    end
    local receipts = redis.call('SMEMBERS', p .. 'w:' .. id)
    for _, receipt in ipairs(receipts) do
        redis.call('ZADD', p .. 'ready', redis.call('ZSCORE', p .. 'waiting', receipt), receipt)
        redis.call('ZREM', p .. 'waiting', receipt)
    end
    if receipts[1] then redis.call('DEL', p .. 'w:' .. id) end
end
"""
_PARK = """
local p = KEYS[1]
for i = 1, #ARGV, 4 do
    local receipt, id, at = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    if redis.call('HSETNX', p .. 'events', receipt, ARGV[i + 3]) == 1 then
        if redis.call('EXISTS', p .. 's:' .. id) == 1 then
            redis.call('ZADD', p .. 'ready', at, receipt)
        else
            redis.call('ZADD', p .. 'waiting', at, receipt)
            redis.call('SADD', p .. 'w:' .. id, receipt)
        end
    end
end
"""
_DUE = """
local p, found = KEYS[1], {}
local function add(receipts)
    for _, receipt in ipairs(receipts) do
        found[#found + 1] = receipt
        found[#found + 1] = redis.call('HGET', p .. 'events', receipt)
    end
end
add(redis.call('ZRANGEBYSCORE', p .. 'ready', '-inf', '+inf', 'LIMIT', 0, ARGV[2]))
add(redis.call('ZRANGEBYSCORE', p .. 'waiting', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2]))
return found
"""
_RELEASE = """
local p = KEYS[1]
for _, receipt in ipairs(ARGV) do
    local event = redis.call('HGET', p .. 'events', receipt)
    if event then
        redis.call('HDEL', p .. 'events', receipt)
        redis.call('ZREM', p .. 'ready', receipt)
        if redis.call('ZREM', p .. 'waiting', receipt) == 1 then
            redis.call('SREM', p .. 'w:' .. string.sub(event, 10, 9 + string.byte(event, 9)), receipt)
        end
    end
end
"""
# Where none is old enough, the ids of the oldest whose records have gone by themselves.
_EXPIRE = """
local p, step = KEYS[1], tonumber(ARGV[2])
local old = redis.call('ZRANGEBYSCORE', p .. 'age', '-inf', ARGV[1], 'LIMIT', 0, step)
for _, id in ipairs(old) do redis.call('UNLINK', p .. 's:' .. id) end
local count = #old
if count == 0 then
    while count < step do
        local id = redis.call('ZRANGE', p .. 'age', count, count)[1]
        if not id or redis.call('EXISTS', p .. 's:' .. id) == 1 then break end
        count = count + 1
    end
end
if count > 0 then redis.call('ZREMRANGEBYRANK', p .. 'age', 0, count - 1) end
return count
"""
_EXPIRE_STEP = 5_000  # about 30 ms in which the server does nothing else
_AT_ONCE = 1_000  # keys of one MGET: others are served in between

_HEAD = struct.Struct(">dB")  # received_at, and how long the request id is; the scripts cut by it


class RedisDeliveryStore:
    """DeliveryStore. A record goes by itself `expiry_s` after it was put, or before, when `expire` says so.

    Guarantees: each method but `find` is one atomic step, so all or none. What was acknowledged survives the death of
    the server where it keeps an append-only file (`appendfsync everysec` loses a second to a loss of power), and that
    of its machine as far as a replica had it by then: replication does not wait. Events that wait never expire.

    Cost: memory is rate × time × size, where the time is the lesser of `expiry_s` and the reward window with its
    lateness, and a slate with factors of width 32 takes 3.8 kB with 10 items and 7.4 kB with 20: 100 slates of 10 a
    second take 33 GB for 24 h. An event that waits takes 0.6 kB.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.expiry_s = server.expiry_s

    @classmethod
    def from_uri(cls, uri: Uri) -> RedisDeliveryStore:
        return cls(Server.of(uri))

    def put(self, slates: Sequence[StoredSlate]) -> None:
        """See DeliveryStore. Cost: one round trip."""
        if not slates:
            return
        arguments: list[bytes | str | float] = [math.ceil(self.expiry_s * 1000)]
        for slate in slates:
            arguments += (slate.request_id, slate.served_at, slate.body)
        self._server.script("put delivery records into", _PUT, *arguments)

    def find(self, request_ids: Iterable[RequestId]) -> Mapping[RequestId, bytes]:
        """See DeliveryStore. Cost: one round trip."""
        wanted = list(dict.fromkeys(request_ids))
        if not wanted:
            return {}
        before = (self._server.prefix + RECORD).encode()

        def look_up(client: Redis) -> list[Any]:
            with client.pipeline(transaction=False) as pipeline:
                for start in range(0, len(wanted), _AT_ONCE):
                    pipeline.mget([before + request_id for request_id in wanted[start : start + _AT_ONCE]])
                return [body for bodies in pipeline.execute() for body in bodies]

        bodies = self._server.do("find delivery records in", look_up)
        return {request_id: body for request_id, body in zip(wanted, bodies, strict=True) if body is not None}

    def park(self, events: Sequence[Parked]) -> None:
        """See DeliveryStore. Cost: one round trip."""
        arguments: list[bytes | str | float] = []
        for event in events:
            head = _HEAD.pack(event.received_at, len(event.request_id))
            arguments += (event.receipt_id, event.request_id, event.received_at, head + event.request_id + event.body)
        if arguments:
            self._server.script("park events in", _PARK, *arguments)

    def parked(self, received_before: float, limit: int) -> list[Parked]:
        """See DeliveryStore. Cost: one round trip, and what it returns, however many wait."""
        flat = self._server.script("read parked events from", _DUE, f"({received_before!r}", limit)
        due = sorted(map(_parked, flat[::2], flat[1::2]), key=lambda event: event.received_at)
        return due[:limit]

    def release(self, receipt_ids: Iterable[bytes]) -> None:
        """See DeliveryStore. Cost: one round trip."""
        if receipts := list(receipt_ids):
            self._server.script("release parked events in", _RELEASE, *receipts)

    def expire(self, served_before: float) -> int:
        """See DeliveryStore. Records that went by themselves count too. Cost: one round trip."""
        return int(self._server.script("expire records in", _EXPIRE, f"({served_before!r}", _EXPIRE_STEP))

    def waiting(self) -> int:
        """See DeliveryStore."""
        key = f"{self._server.prefix}events"
        return int(self._server.do("count parked events in", lambda client: client.hlen(key)))


def _parked(receipt_id: bytes, packed: bytes) -> Parked:
    received_at, length = _HEAD.unpack_from(packed)
    end = _HEAD.size + length
    return Parked(receipt_id, RequestId(packed[_HEAD.size : end]), received_at, packed[end:])
