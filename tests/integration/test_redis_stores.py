"""What tracking keeps in Redis goes again, and only that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from omakase import adapters
from omakase.adapters.gcp.redis.order_store import RedisOrders
from omakase.adapters.gcp.redis.server import Server
from omakase.adapters.uri import Uri
from omakase.core.ids import NOBODY, Pseudonym, RequestId
from omakase.ports.delivery_store import Parked, StoredSlate
from omakase.ports.orders import Credit, Order
from omakase.ports.touches import Touch, Touched
from tests.counterparts import REDIS
from tests.counterparts.cloud import redis
from tests.counterparts.own_redis import OwnRedis
from tests.integration.stage import until

ANNA, BEN = Pseudonym("anna"), Pseudonym("ben")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return redis(tmp_path)


@pytest.fixture
def admin(uri: str) -> Iterator[Redis]:
    with Redis(port=int(REDIS.address().partition(":")[2])) as client:
        yield client


def keys(admin: Redis, uri: str) -> list[bytes]:
    return list(admin.scan_iter(uri.partition("prefix=")[2].partition("&")[0] + ":*"))


def slate(n: int, body: bytes = b"slate") -> StoredSlate:
    return StoredSlate(RequestId(n.to_bytes(16, "big")), float(n), body)


def event(n: int) -> Parked:
    return Parked(n.to_bytes(16, "little"), RequestId(n.to_bytes(16, "big")), float(n), b"event")


def test_nothing_is_left_of_what_was_released_and_has_expired(uri, admin):
    store, orders = adapters.open_delivery_store(uri), adapters.open_orders(uri)
    touches, credits = adapters.open_touches(uri), adapters.open_credits(uri)
    store.put([slate(1), slate(2)])
    store.park([event(2), event(3), event(4)])
    store.put([slate(3)])
    orders.keep([Order(b"r" * 16, b"l" * 16, "conversion", (ANNA,), "i1", 9.5, 1.0, 2.0)])
    credits.put(
        [Credit(bytes([n]) * 16, 1.0, RequestId(b"q" * 16), 1, unit=unit) for n, unit in enumerate((ANNA, BEN))]
    )
    items = (Touched(1, "i1", True),)
    touches.note([Touch(RequestId(b"q" * 16), float(n), ANNA, BEN, 1.0, "home", "learnt", "ts", items) for n in (1, 2)])
    assert len(keys(admin, uri)) > 10
    store.release([event(n).receipt_id for n in (2, 3, 4)])
    orders.release([b"r" * 16])
    credits.forget([BEN])
    steps = [store.expire(9.0), touches.expire(9.0), credits.expire(9.0)]
    assert steps == [3, 4, 2]
    assert keys(admin, uri) == []


def test_a_record_goes_by_itself_and_leaves_nothing_once_somebody_tidies(uri, admin):
    store = adapters.open_delivery_store(f"{uri}&expiry_s=0.1")
    store.put([slate(1), slate(2)])
    store.park([event(1)])
    until(lambda: not store.find([slate(1).request_id, slate(2).request_id]), "the records have expired")
    adapters.open_delivery_store(uri).put([slate(3)])  # one that lives longer
    assert (store.expire(0.0), store.expire(0.0)) == (2, 0)
    assert store.find([slate(3).request_id])
    assert store.parked(0.0, 9) == [event(1)]


def test_a_record_that_is_rewritten_expires_when_it_would_have(uri, admin):
    store, forgotten = adapters.open_delivery_store(f"{uri}&expiry_s=1000"), adapters.open_forgotten(uri)
    store.put([slate(n, b"of %d" % n) for n in range(5000)])
    (key,) = (key for key in keys(admin, uri) if key.endswith(slate(7).request_id))
    admin.pexpire(key, 500_000)

    def change(body: bytes) -> bytes:
        store.put([slate(9000, b"of 9 and later")])
        return body.replace(b"of", b"by")

    assert forgotten.rewrite([b"of 7", b"of 4999"], change) == 112  # 7, 70 to 79, 700 to 799, and 4999
    assert store.find([slate(n).request_id for n in (7, 8)]) == {
        slate(7).request_id: b"by 7",
        slate(8).request_id: b"of 8",
    }
    assert 400_000 < admin.pttl(key) <= 500_000
    assert forgotten.rewrite([b"of 7"], change) == 0


def test_people_who_touch_again_do_not_keep_the_old_touches_of_others(uri):
    touches, items = adapters.open_touches(uri), (Touched(1, "i1", True),)
    people = [Pseudonym(f"p{n:05}") for n in range(10_001)]
    for at in (1.0, 5.0):
        touches.note([Touch(RequestId(b"q" * 16), at, each, NOBODY, 1.0, "", "", "", items) for each in people])
    assert [touches.expire(2.0) for _ in range(3)] == [10_000, 1, 0]
    assert [touch.at for touch in touches.of(people[-1:], 0.0, 9.0, 9)] == [5.0]


class Meanwhile(Server):
    """The real server; before anything is changed in it, somebody else does something."""

    happens: Callable[[], None] = staticmethod(lambda: None)

    def script(self, doing: str, source: str, *arguments: Any) -> Any:
        self.happens()
        return super().script(doing, source, *arguments)


def test_an_order_that_is_released_while_its_person_is_forgotten_does_not_come_back(uri):
    order = Order(b"r" * 16, b"l" * 16, "conversion", (ANNA,), "i1", 9.5, 1.0, 2.0)
    orders, server = adapters.open_orders(uri), Meanwhile.of(Uri.parse(uri))
    orders.keep([order])
    server.happens = lambda: orders.release([order.receipt_id])
    assert RedisOrders(server).forget([ANNA]) == 0
    assert (orders.waiting(), orders.due(9.0, 9)) == (0, [])


def test_what_a_record_was_leaves_the_append_only_file_too(tmp_path):
    own = OwnRedis(tmp_path)
    own.start()
    try:
        adapters.open_delivery_store(own.uri()).put([slate(1, b"of ada-lovelace")])
        assert holding(tmp_path, b"ada-lovelace")
        adapters.open_forgotten(own.uri()).rewrite([b"ada-lovelace"], lambda _: b"of nobody")
        until(lambda: not holding(tmp_path, b"ada-lovelace"), "the file is rewritten")
    finally:
        own.kill()


def holding(directory: Path, text: bytes) -> list[Path]:
    found = []
    for path in directory.rglob("*.aof"):
        with suppress(FileNotFoundError):
            if text in path.read_bytes():
                found.append(path)
    return found


def test_a_record_that_has_gone_meanwhile_does_not_come_back(uri):
    store, forgotten = adapters.open_delivery_store(uri), adapters.open_forgotten(uri)
    store.put([slate(1)])

    def expire(_: bytes) -> bytes:
        store.expire(9.0)
        return b"changed"

    assert forgotten.rewrite([b"slate"], expire) == 0
    assert store.find([slate(1).request_id]) == {}


def test_two_prefixes_share_a_server_and_nothing_else(tmp_path):
    one, other = (redis(tmp_path) for _ in range(2))
    adapters.open_delivery_store(one).put([slate(1)])
    adapters.open_forgotten(one).forget([ANNA], 5.0)
    assert adapters.open_delivery_store(other).find([slate(1).request_id]) == {}
    assert adapters.open_forgotten(other).find([ANNA]) == {}
    assert adapters.open_forgotten(other).rewrite([b"slate"], lambda _: b"") == 0
