"""`omakase keys`, and orders that wait in `omakase events stats`."""

from __future__ import annotations

import re

from omakase.adapters import open_orders
from omakase.api_keys import Scope
from omakase.core.errors import Unauthorized
from omakase.ports.orders import Order
from omakase.serving.access import ApiKeys, Gate
from omakase.serving.refusals import Refusals
from tests.integration.stage import until


def passes(gate, shown):
    try:
        return bool(gate.admit(shown))
    except Unauthorized as error:
        return "revoked" not in str(error)


def test_a_key_is_printed_once_and_passes_from_then_on(omakase, deployment):
    where = ("--data-dir", deployment.data_dir)
    said = omakase("keys", "create", "orders", "--scope", "server", *where)
    assert said.code == 0
    key = said.out.strip()
    assert re.fullmatch(r"omk_[\w-]{43}", key)
    gate = Gate(ApiKeys(deployment.keys), Scope.SERVER, Refusals())
    shown = [(b"authorization", f"Bearer {key}".encode())]
    assert gate.admit(shown).name == "orders"
    again = omakase("keys", "create", "orders", "--scope", "server", *where)
    assert (again.code, "there is a key 'orders' already" in again.err) == (2, True)
    assert again.out == ""
    assert omakase("keys", "revoke", "orders", *where).code == 0
    until(lambda: not passes(gate, shown), "the key is refused")
    assert (omakase("keys", "revoke", "order", *where).code, omakase("keys", "list", *where).code) == (2, 0)


def test_the_list_shows_what_each_key_is_for_and_no_key(omakase, deployment):
    where = ("--data-dir", deployment.data_dir)
    limits = ("--placement", "home-top", "--placement", "cart", "--rate", "5", "--burst", "9")
    key = omakase("keys", "create", "app", "--scope", "storefront", *limits, *where).out.strip()
    omakase("keys", "create", "ops", "--scope", "admin", *where)
    omakase("keys", "revoke", "ops", *where)
    said = omakase("keys", "list", "--json", *where)
    assert said.json() == [
        {"name": "ops", "scope": "admin", "placements": None, "rate": None, "burst": None, "revoked": True},
        {
            "name": "app",
            "scope": "storefront",
            "placements": ["cart", "home-top"],
            "rate": 5,
            "burst": 9,
            "revoked": False,
        },
    ]
    table = omakase("keys", "list", *where)
    assert key not in table.out + said.out
    assert "cart, home-top" in table.out


def test_limits_that_do_not_fit_the_scope_are_refused(omakase, deployment):
    where = ("--data-dir", deployment.data_dir)
    assert omakase("keys", "create", "a", "--scope", "admin", "--placement", "x", *where).code == 2
    assert omakase("keys", "create", "a", "--scope", "storefront", "--burst", "3", *where).code == 2
    assert omakase("keys", "create", "a", "--scope", "root", *where).code == 2
    assert omakase("keys", "list", "--json", *where).json() == []


def test_orders_that_are_not_attributed_yet_wait_in_the_account(omakase, deployment):
    omakase("keys", "create", "orders", "--scope", "server", "--data-dir", deployment.data_dir)
    order = Order(b"r" * 16, b"l" * 16, "conversion", ("anna",), "shoe", 9.0, 1.0, 1.0)
    open_orders(deployment.uris.deliveries).keep([order])
    said = omakase("events", "stats", "--json", "--data-dir", deployment.data_dir)
    assert (said.code, said.json()["accepted"], said.json()["parked"]) == (0, 1, 1)
