"""`omakase keys add`, and orders that wait in `omakase events stats`."""

from __future__ import annotations

import re

from omakase.adapters import open_orders
from omakase.ports.orders import Order
from omakase.server_keys import ServerKeys


def test_a_server_key_is_printed_once_and_known_from_then_on(omakase, deployment):
    where = ("--data-dir", deployment.data_dir)
    said = omakase("keys", "add", "orders", *where)
    assert said.code == 0
    key = said.out.strip()
    assert re.fullmatch(r"omk_[\w-]{43}", key)
    assert ServerKeys(deployment.keys).owner(key) == "orders"
    again = omakase("keys", "add", "orders", *where)
    assert (again.code, "there is a server key 'orders' already" in again.err) == (2, True)
    assert again.out == ""


def test_orders_that_are_not_attributed_yet_wait_in_the_account(omakase, deployment):
    omakase("keys", "add", "orders", "--data-dir", deployment.data_dir)
    order = Order(b"r" * 16, b"l" * 16, "conversion", ("anna",), "shoe", 9.0, 1.0, 1.0)
    open_orders(deployment.uris.deliveries).keep([order])
    said = omakase("events", "stats", "--json", "--data-dir", deployment.data_dir)
    assert (said.code, said.json()["accepted"], said.json()["parked"]) == (0, 1, 1)
