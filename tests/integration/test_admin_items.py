"""Items through `/admin/v1`, over a real gateway, and what a shop then shows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from omakase.core.catalogue import Item
from tests.integration.backoffice import ADMIN, Operator, ndjson
from tests.integration.stage import RunningGateway, Shop, Stage, free_port, until


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    directory = tmp_path_factory.mktemp("admin")
    with Stage() as stage:
        shop = Shop(directory)
        shop.stock()
        away = f"127.0.0.1:{free_port()}"
        running = RunningGateway(stage, shop, directory / "gateway", away, max_line_bytes=2000)
        running.catalogue = shop.catalogue  # type: ignore[attr-defined]
        yield running
        running.stop()


@pytest.fixture(scope="module")
def operator(gateway: RunningGateway) -> Operator:
    return Operator(gateway)


def test_an_item_is_put_read_changed_and_replaced(operator):
    whole = {"metadata": {"colour": "red", "tags": ["a", "b"]}, "value": 2.5, "stock": 3, "in_stock": True}
    answer = {"item_id": "new/one ø", **whole, "hidden": False}
    path = "/items/new%2Fone%20%C3%B8"
    for _ in range(2):
        assert operator.does("PUT", path, whole) == answer
    assert operator.does("GET", path) == answer
    changed = {**answer, "hidden": True, "stock": None, "value": 9.0}
    for _ in range(2):
        assert operator.does("PATCH", path, {"hidden": True, "stock": None, "value": 9}) == changed
    assert operator.does("GET", path) == changed
    assert operator.does("PUT", path, {"item_id": "new/one ø"})["metadata"] == {}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("GET", "/items/i", None, 404, "no such item"),
        ("PATCH", "/items/none", {"hidden": True}, 404, "no such item"),
        ("PATCH", "/items/i3", {}, 422, "names no change"),
        ("PATCH", "/items/i3", {"metadata": {}}, 422, "put the whole item"),
        ("PATCH", "/items/i3", {"stock": -1}, 422, "stock must be 0 to"),
        ("PUT", "/items/i3", {"price": 3}, 422, "unknown keys ['price']"),
        ("PUT", "/items/i3", {"item_id": "i4"}, 422, "another item than the path"),
        ("PUT", "/items/i3", [], 422, "does not fit"),
        ("PUT", "/items/i3", b"{", 400, "is not JSON"),
        ("PUT", "/items/i3", b'{"metadata": {"x": ' + b"[" * 100_000, 400, "parsing the body"),
        ("PUT", "/items/i3", b'"%s"' % (b"x" * 1_000_001), 413, "larger than"),
        ("GET", "/items?cursor=%FF", None, 422, "not one of ours"),
        ("GET", "/items?limit=0", None, 422, "does not fit"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(operator, method, path, body, status, told):
    before = operator.gateway.catalogue.generation()
    answer = operator.does(method, path, body, expecting=status)
    assert told in answer["detail"]
    assert operator.gateway.catalogue.generation() == before


def test_pages_have_every_item_once_whatever_is_put_meanwhile(operator):
    catalogue, seen, cursor = operator.gateway.catalogue, [], ""
    expected = [item.item_id for item in catalogue.page("", 1000)]
    while cursor is not None:
        page = operator.does("GET", f"/items?limit=7&cursor={cursor}")
        seen += [item["item_id"] for item in page["items"]]
        cursor = page["cursor"]
        catalogue.put([Item("!before")])
    assert seen == expected


def test_a_bad_line_harms_no_other_and_is_told_by_its_number(operator):
    catalogue = operator.gateway.catalogue
    good = [{"item_id": f"bulk-{n:04}", "metadata": {"n": n}} for n in range(1200)]
    lines = [good[0], b"{", b"", *good[1:600], b'{"item_id": 7}', b"\xff", b'"%s"' % (b"x" * 3000), *good[600:]]
    told = operator.sends_lines("/items:bulk", lines)
    assert [line["done"] for line in told] == [499, 996, 1200, 1200]
    assert told[-1] == {"done": 1200, "failed": 4, "complete": True}
    faults = {fault["line"]: fault["message"] for line in told for fault in line.get("faults", [])}
    assert list(faults) == [2, 603, 604, 605]
    assert [faults[603], faults[605]] == ["`item_id` must be text", "is too long"]
    assert [item.item_id for item in catalogue.page("bulk-", 1200)] == [item["item_id"] for item in good]
    told = operator.sends_lines("/items:patch", [{"item_id": "bulk-0000", "stock": 1}, {"item_id": "no", "stock": 1}])
    assert told[0] == {"done": 1, "failed": 1, "faults": [{"line": 2, "message": "no such item"}]}
    assert catalogue.page("bulk-0000", 1) == [Item("bulk-0000", {"n": 0.0}, stock=1)]


def test_lines_about_one_item_count_in_their_order(operator):
    changes = [{"hidden": True, "stock": 3}, {"stock": 5}, {"hidden": False}]
    operator.sends_lines("/items:patch", [{"item_id": "i5", **change} for change in changes])
    found = operator.does("GET", "/items/i5")
    assert (found["hidden"], found["stock"]) == (False, 5)


def test_faults_beyond_a_bound_are_counted_and_not_told(operator):
    told = operator.sends_lines("/items:bulk", [b"{"] * 2000)
    assert told[-1] == {"done": 0, "failed": 2000, "complete": True}
    assert sum(len(line.get("faults", [])) for line in told) == 500


def test_progress_comes_while_lines_are_still_sent(operator):
    """In chunks of the transfer that cut lines in two."""
    import socket

    with socket.create_connection(("127.0.0.1", operator.gateway.port), timeout=10) as sock:
        head = f"POST {ADMIN}/items:bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {operator.key}\r\n"
        sock.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        body = b"".join(ndjson({"item_id": f"live-{n}"} for n in range(700)))
        for start in range(0, len(body), 999):
            part = body[start : start + 999]
            sock.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        answer = b""
        while b'{"done":500,"failed":0}' not in answer:
            answer += sock.recv(4096)
        sock.sendall(b"0\r\n\r\n")
        while b"complete" not in answer:
            answer += sock.recv(4096)
    assert b'{"done":700,"failed":0,"complete":true}' in answer


def test_who_goes_away_in_the_middle_has_done_what_was_told(operator, caplog):
    import socket

    with socket.create_connection(("127.0.0.1", operator.gateway.port), timeout=10) as sock:
        head = f"POST {ADMIN}/items:bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {operator.key}\r\n"
        body = b"".join(ndjson({"item_id": f"gone-{n}"} for n in range(600)))
        sock.sendall(head.encode() + b"Content-Length: 1000000\r\n\r\n" + body)
        answer = b""
        while b'"done":500' not in answer:
            answer += sock.recv(4096)
    until(lambda: "the lines ended early: 500 are done" in caplog.text, "it is noted")
    assert len([item for item in operator.gateway.catalogue.page("gone-", 1000) if item.item_id[:5] == "gone-"]) == 500


def test_a_thousand_hidden_items_are_gone_from_slates_within_two_seconds(stage, shop, recommender, tmp_path):
    shop.publish()
    shop.catalogue.put(Item(f"r{n}", {"colour": "red", "price": 1.0}, value=10.0) for n in range(1500))
    gateway = RunningGateway(stage, shop, tmp_path / "gateway", recommender.target)
    operator = Operator(gateway)
    hidden = {f"r{n}" for n in range(1000)}

    def shown() -> set[str]:
        answers = [gateway.ask(placement="home-end", anonymous_id=f"p{n}", limit=50) for n in range(20)]
        assert not any(answer["fallback"] for answer in answers)
        return {item["item_id"] for answer in answers for item in answer["items"]}

    until(lambda: bool(shown() & hidden), "they are shown")
    began = time.monotonic()
    told = operator.sends_lines("/items:patch", [{"item_id": item_id, "hidden": True} for item_id in hidden])
    assert told[-1] == {"done": 1000, "failed": 0, "complete": True}
    until(lambda: not shown() & hidden, "none is shown any more")
    assert time.monotonic() - began < 2.0
    assert shown() & {f"r{n}" for n in range(1000, 1500)}
    gateway.stop()


def test_a_store_that_is_away_is_a_503_until_it_is_back(stage: Stage, shop: Shop, tmp_path: Path):
    import sqlite3

    gateway = RunningGateway(stage, shop, tmp_path / "gateway", f"127.0.0.1:{free_port()}")
    operator = Operator(gateway)
    shop.catalogue._database._writer.execute("PRAGMA busy_timeout = 20")
    with sqlite3.connect(tmp_path / "catalogue.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "locked" in operator.does("PUT", "/items/a", {}, expecting=503)["detail"]
        status, headers, answer = operator.send("POST", "/items:bulk", b'{"item_id": "a"}')
        assert (status, json.loads(answer)["status"], headers["retry-after"]) == (503, 503, "1")
        other.execute("ROLLBACK")
    other.close()
    assert operator.sends_lines("/items:bulk", [{"item_id": "a"}])[-1]["complete"]
    gateway.stop()
