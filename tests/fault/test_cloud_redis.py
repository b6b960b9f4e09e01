"""Redis fails: what was acknowledged is there afterwards, what was not is refused, and nothing is doubled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from redis import Redis

from omakase import adapters
from omakase.core.errors import InvalidInput, Overloaded, Unavailable
from omakase.core.ids import Pseudonym, RequestId
from omakase.ports.delivery_store import Parked, StoredSlate
from omakase.ports.orders import Credit, Order
from omakase.ports.touches import Touch, Touched
from tests.counterparts import REDIS, free_port
from tests.counterparts.cloud import fresh_name
from tests.counterparts.own_redis import OwnRedis
from tests.counterparts.redis_faults import LOADING, READONLY, Wire, wire_to
from tests.integration.certificates import Authority, needs_openssl
from tests.integration.stage import until

ANNA = Pseudonym("anna")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def wire() -> Iterator[Wire]:
    with wire_to(REDIS.address()) as wire:
        yield wire


def request_id(n: int) -> RequestId:
    return RequestId(n.to_bytes(16, "big"))


def slate(n: int, size: int = 5) -> StoredSlate:
    return StoredSlate(request_id(n), 1.0, b"x" * size)


def event(n: int) -> Parked:
    return Parked(n.to_bytes(16, "little"), request_id(n), 1.0, b"event")


def test_what_was_acknowledged_is_there_when_the_server_was_killed_and_came_back(server):
    uri = server.uri(patience_s=0.001)
    store, orders, credits = adapters.open_delivery_store(uri), adapters.open_orders(uri), adapters.open_credits(uri)
    touches, forgotten = adapters.open_touches(uri), adapters.open_forgotten(uri)
    order = Order(b"r" * 16, b"l" * 16, "conversion", (ANNA,), "i1", 9.5, 1.0, 2.0)
    credit = Credit(b"l" * 16, 2.0, request_id(1), 2, unit=ANNA, item_id="i1")
    touch = Touch(request_id(1), 1.0, ANNA, Pseudonym(""), 1.0, "home", "learnt", "ts", (Touched(1, "i1", True),))
    orders.keep([order])
    credits.put([credit])
    touches.note([touch])
    forgotten.forget([Pseudonym("ben")], 5.0)
    acknowledged = [0]

    def work() -> None:
        with suppress(Unavailable):
            for n in count():
                store.put([slate(n)])
                store.park([event(n), event(1_000_000 + n)])
                acknowledged[0] = n + 1

    writer = threading.Thread(target=work)
    writer.start()
    until(lambda: acknowledged[0] >= 50, "some were acknowledged")
    server.kill()
    writer.join(30)
    with pytest.raises(Unavailable, match="cannot put delivery records"):
        store.put([slate(1)])
    server.start()
    known, waiting = acknowledged[0], {parked.receipt_id for parked in store.parked(2.0, 1_000_000)}
    assert len(store.find(map(request_id, range(known)))) == known
    assert waiting >= {event(first + n).receipt_id for n in range(known) for first in (0, 1_000_000)}
    assert (orders.due(9.0, 9), credits.find([credit.line])) == ([order], {credit.line: credit})
    assert (touches.of([ANNA], 0.0, 9.0, 9), forgotten.find([Pseudonym("ben")])) == ([touch], {"ben": 5.0})


@pytest.mark.parametrize("faults", [["before"], ["half"], ["after"], ["after", "half", "before"]], ids="-".join)
def test_a_connection_that_is_reset_is_tried_again_and_nothing_is_doubled(wire, faults):
    uri = f"redis://{wire.address}/0?prefix={fresh_name()}"
    store, touches = adapters.open_delivery_store(uri), adapters.open_touches(uri)
    wire.faults["EVAL"] = list(faults)
    store.put([slate(n) for n in range(500)])
    wire.faults["MGET"] = list(faults)
    assert len(store.find(map(request_id, range(5000)))) == 500
    wire.faults["EVAL"] = list(faults)
    store.park([event(1), event(2), event(1000)])
    assert store.waiting() == 3
    wire.faults["EVAL"] = list(faults)
    store.release([event(1).receipt_id])
    assert store.parked(0.0, 10) == [event(2)]
    touch = Touch(request_id(1), 1.0, ANNA, Pseudonym(""), 1.0, "home", "learnt", "ts", (Touched(1, "i1", True),))
    wire.faults["EVAL"] = list(faults)
    touches.note([touch])
    assert touches.of([ANNA], 0.0, 9.0, 9) == [touch]
    assert not any(wire.faults.values())


def test_a_batch_is_one_round_trip(wire):
    store = adapters.open_delivery_store(f"redis://{wire.address}/0?prefix={fresh_name()}")
    before = wire.seen.copy()
    store.put([slate(n) for n in range(1000)])
    store.park([event(n) for n in range(1000)])
    store.find(map(request_id, range(1000)))
    store.release([event(n).receipt_id for n in range(1000)])
    assert wire.seen - before == {"EVAL": 3, "MGET": 1}


def test_a_search_for_many_texts_lets_others_be_served_in_between(server):
    """One step of it may not take seconds in which tracking waits: the more texts, the fewer records."""
    uri, texts = server.uri(), [f"person {n}".encode() for n in range(2000)]
    adapters.open_delivery_store(uri).put([slate(n) for n in range(200)])
    assert adapters.open_forgotten(uri).rewrite(texts, bytes) == 0
    assert server.admin().info("commandstats")["cmdstat_eval"]["calls"] >= 200 * 2000 / 20_000


def test_a_server_that_loads_its_data_is_waited_for_and_then_given_up(wire):
    patient = adapters.open_delivery_store(f"redis://{wire.address}/0?prefix={fresh_name()}")
    wire.faults["EVAL"] = [LOADING] * 3
    patient.put([slate(1)])
    assert patient.find([request_id(1)])
    hasty = adapters.open_delivery_store(f"redis://{wire.address}/0?prefix={fresh_name()}&patience_s=0.001")
    wire.faults["EVAL"] = [LOADING] * 100
    with pytest.raises(Unavailable, match="loading the dataset"):
        hasty.put([slate(1)])
    wire.faults.clear()
    assert hasty.find([request_id(1)]) == {}


def test_a_server_without_memory_is_overloaded_and_keeps_what_it_promised_and_nothing_of_the_rest(server):
    store, admin = adapters.open_delivery_store(server.uri()), server.admin()
    store.park([event(1)])
    store.put([slate(1)])
    admin.config_set("maxmemory", 1)
    for refused in (lambda: store.put([slate(1), slate(2), slate(3)]), lambda: store.park([event(2), event(3)])):
        with pytest.raises(Overloaded, match="it is full"):
            refused()
    assert store.find(map(request_id, range(9))) == {request_id(1): b"xxxxx"}
    assert store.parked(9.0, 9) == [event(1)]
    store.release([event(1).receipt_id])  # what makes room still works
    assert store.expire(9.0) == 1
    admin.config_set("maxmemory", 0)
    store.put([slate(2)])
    assert store.find([request_id(2)])


def test_a_failover_is_waited_for_and_then_given_up(server):
    store, admin = adapters.open_delivery_store(server.uri(patience_s=30)), server.admin()
    hasty = adapters.open_delivery_store(server.uri(patience_s=0.001))
    admin.replicaof("127.0.0.1", free_port())
    with pytest.raises(Unavailable, match="read only replica"):
        hasty.put([slate(1)])
    refused = _refusals(admin)
    with ThreadPoolExecutor(1) as pool:
        putting = pool.submit(store.put, [slate(2)])
        until(lambda: _refusals(admin) >= refused + 2, "it was refused and came again")
        admin.replicaof("NO", "ONE")
        putting.result(30)
    assert set(store.find(map(request_id, range(9)))) == {request_id(2)}


def test_after_a_failover_it_connects_anew_for_the_name_may_lead_elsewhere(wire):
    store = adapters.open_delivery_store(f"redis://{wire.address}/0?prefix={fresh_name()}")
    wire.faults["EVAL"] = [READONLY]
    before = wire.connections
    store.put([slate(1)])
    assert wire.connections == before + 1
    assert store.find([request_id(1)])


def _refusals(admin: Redis) -> int:
    return int(admin.info("errorstats").get("errorstat_READONLY", {}).get("count", 0))


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_a_server_that_may_evict_what_was_promised_is_refused(server, policy):
    server.admin().config_set("maxmemory-policy", policy)
    with pytest.raises(InvalidInput, match=policy):
        adapters.open_delivery_store(server.uri())


def test_a_server_that_evicts_what_expires_next_keeps_what_was_promised(server):
    store, orders, admin = (
        adapters.open_delivery_store(server.uri()),
        adapters.open_orders(server.uri()),
        server.admin(),
    )
    order = Order(b"r" * 16, b"l" * 16, "conversion", (ANNA,), "i1", 9.5, 1.0, 2.0)
    orders.keep([order])
    store.park([event(1_000_000)])
    admin.config_set("maxmemory-policy", "volatile-ttl")
    admin.config_set("maxmemory", int(admin.info("memory")["used_memory"]) + 2_000_000)
    for start in range(0, 2000, 100):
        store.put([slate(start + n, 3000) for n in range(100)])
    assert 0 < len(store.find(map(request_id, range(2000)))) < 1000
    assert (orders.due(9.0, 9), store.parked(9.0, 9)) == ([order], [event(1_000_000)])


def test_a_password_is_read_from_its_file_anew_and_is_never_told(server, tmp_path):
    file, admin = tmp_path / "password", server.admin()
    admin.config_set("requirepass", "first-secret")
    file.write_text("first-secret\n")
    store = adapters.open_delivery_store(server.uri(password_file=file, patience_s=0.001))
    store.put([slate(1)])
    admin = Redis(port=server.port, password="first-secret")
    admin.config_set("requirepass", "second-secret")
    admin.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(Unavailable, match="refuses the password") as refusal:
        store.find([request_id(1)])
    assert "secret" not in str(refusal.value)
    file.write_text("second-secret\n")
    assert store.find([request_id(1)])
    file.unlink()
    Redis(port=server.port, password="second-secret").client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(InvalidInput, match="password_file"):
        store.find([request_id(1)])


@needs_openssl
def test_tls_trusts_the_one_authority_that_is_named(server, tmp_path):
    authority, other = Authority(tmp_path / "authority"), Authority(tmp_path / "other")
    pair, port, admin = authority.sign("redis"), free_port(), server.admin()
    admin.config_set("tls-cert-file", str(pair.certificate), "tls-key-file", str(pair.key))
    admin.config_set("tls-ca-cert-file", str(authority.path), "tls-auth-clients", "no", "tls-port", port)
    uri = f"rediss://127.0.0.1:{port}/0?patience_s=0.001&ca_file="
    store = adapters.open_delivery_store(f"{uri}{authority.path}")
    store.put([slate(1)])
    assert store.find([request_id(1)])
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        adapters.open_delivery_store(f"{uri}{other.path}")
