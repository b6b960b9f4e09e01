"""The gate: which keys pass, how often, and what is told of those that do not."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from omakase.api_keys import ApiKey, Scope
from omakase.core.errors import Forbidden, Refused, TooFrequent, Unauthorized
from omakase.issuing import create_key, revoke_key
from omakase.keys import create_keys
from omakase.serving.access import ANYONE, ApiKeys, Gate
from omakase.serving.refusals import Refusals


@dataclass
class Clock:
    at: float = 100.0

    def __call__(self) -> float:
        return self.at


@dataclass
class Shop:
    """A file of keys, a clock, and gates before it."""

    path: Path
    clock: Clock

    def gate(self, scope: Scope, *, is_open: bool = False) -> Gate:
        return Gate(ApiKeys(self.path, self.clock), scope, Refusals(self.clock), is_open=is_open, now=self.clock)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    create_keys(tmp_path / "keys.yaml")
    return Shop(tmp_path / "keys.yaml", Clock())


def show(key: str, scheme: str = "Bearer ") -> list[tuple[bytes, bytes]]:
    return [(b"host", b"shop"), (b"authorization", (scheme + key).encode()), (b"accept", b"*/*")]


def counted(reason: str) -> float:
    return REGISTRY.get_sample_value("omakase_refused_requests_total", {"reason": reason}) or 0.0


def test_a_key_passes_the_gate_of_its_scope_and_no_other(shop: Shop) -> None:
    keys = {scope: create_key(shop.path, f"a-{scope}", scope) for scope in Scope}
    for scope in Scope:
        gate = shop.gate(scope)
        for other, key in keys.items():
            if other is scope:
                assert gate.admit(show(key)).name == f"a-{scope}"
                assert gate.admit(show(f" {key} ", "bEARER ")).name == f"a-{scope}"
            else:
                with pytest.raises(Forbidden, match=f"has scope {other}, this needs {scope}"):
                    gate.admit(show(key))


def test_no_key_a_wrong_one_and_another_scheme_are_refused_counted_and_not_repeated(shop: Shop, caplog) -> None:
    key, gate = create_key(shop.path, "ops", Scope.ADMIN), shop.gate(Scope.ADMIN)
    before = counted("wrong_key")
    shown = [show(key[:-1]), show(key + "x"), show(""), show(key, "Basic "), show(key, ""), show("pässword")]
    with caplog.at_level(logging.DEBUG):
        for headers in shown:
            with pytest.raises(Unauthorized, match=r"^this is no key of ours$"):
                gate.admit(headers)
        with pytest.raises(Unauthorized, match="omakase keys create NAME --scope admin"):
            gate.admit([(b"host", b"shop")])
    assert counted("wrong_key") - before == len(shown)
    assert [record.args[0] for record in caplog.records] == ["wrong_key", "no_key"]
    assert key[:-1] not in caplog.text
    assert "pässword" not in caplog.text


def test_a_flood_of_refusals_writes_one_line_a_second_and_says_how_many(shop: Shop, caplog) -> None:
    gate = shop.gate(Scope.ADMIN)
    with caplog.at_level(logging.WARNING):
        for at in (100.0, 100.5, 101.5):
            shop.clock.at = at
            for _ in range(1000):
                with pytest.raises(Unauthorized):
                    gate.admit(show("omk_wrong"))
    assert [record.getMessage() for record in caplog.records] == [
        "refused (wrong_key): this is no key of ours",
        "refused (wrong_key): this is no key of ours; and 1999 more since the last line",
    ]


def test_keys_are_replaced_without_a_gap_while_the_gate_stands(shop: Shop) -> None:
    old, gate = create_key(shop.path, "app", Scope.STOREFRONT), shop.gate(Scope.STOREFRONT)
    new = create_key(shop.path, "app-2", Scope.STOREFRONT)
    assert [gate.admit(show(key)).name for key in (old, new)] == ["app", "app-2"]
    revoke_key(shop.path, "app")
    shop.clock.at += 0.25
    assert gate.admit(show(new)).name == "app-2"
    with pytest.raises(Unauthorized, match="the key 'app' is revoked"):
        gate.admit(show(old))


def test_a_file_that_cannot_be_read_changes_nothing_and_is_told_of_once(shop: Shop, caplog) -> None:
    key = create_key(shop.path, "ops", Scope.ADMIN)
    gate = shop.gate(Scope.ADMIN)
    shop.path.write_text("nonsense: true\n")
    os.utime(shop.path, ns=(1, 1))
    shop.clock.at += 0.25
    with caplog.at_level(logging.ERROR):
        assert [gate.admit(show(key)).name, gate.admit(show(key)).name] == ["ops", "ops"]
    assert len(caplog.records) == 1


def test_a_gate_that_may_be_open_closes_with_the_first_key_and_stays_closed_when_it_is_revoked(
    shop: Shop, caplog
) -> None:
    create_key(shop.path, "ops", Scope.ADMIN)
    with caplog.at_level(logging.INFO):
        gate = shop.gate(Scope.STOREFRONT, is_open=True)
        assert gate.admit(show("omk_whatever")) is ANYONE
        key = create_key(shop.path, "app", Scope.STOREFRONT)
        shop.clock.at += 0.25
        assert gate.admit(show(key)).name == "app"
        revoke_key(shop.path, "app")
        shop.clock.at += 0.25
        for headers in (show(key), []):
            with pytest.raises(Unauthorized):
                gate.admit(headers)
    told = [record.getMessage() for record in caplog.records]
    assert "everybody may ask: there is no API key of scope storefront" in told
    assert "a key of scope storefront is required from now on" in told


def test_a_key_asks_for_its_placements_only(shop: Shop) -> None:
    create_key(shop.path, "app", Scope.STOREFRONT, placements=["home-top"])
    app, gate = ApiKeys(shop.path).newest(), shop.gate(Scope.STOREFRONT)
    (key,) = app.values()
    gate.check(key, "home-top")
    gate.check(ANYONE, "cart")
    for placement in ("cart", "home", "home-top ", ""):
        with pytest.raises(Forbidden) as refused:
            gate.check(key, placement)
        assert "cart" not in str(refused.value)


def asked(gate: Gate, key: str, times: int) -> int:
    """How many of so many requests pass."""
    passed = 0
    for _ in range(times):
        try:
            gate.admit(show(key))
            passed += 1
        except TooFrequent:
            pass
    return passed


def test_a_burst_passes_and_then_the_rate(shop: Shop) -> None:
    key, other = (create_key(shop.path, name, Scope.STOREFRONT, rate=10, burst=30) for name in ("app", "other"))
    gate = shop.gate(Scope.STOREFRONT)
    assert asked(gate, key, 100) == 30
    assert asked(gate, other, 5) == 5
    shop.clock.at += 0.5
    assert asked(gate, key, 100) == 5
    shop.clock.at += 3600
    assert asked(gate, key, 100) == 30


def test_what_counts_for_several_requests_is_owed(shop: Shop) -> None:
    key = create_key(shop.path, "app", Scope.STOREFRONT, rate=10, burst=10)
    gate = shop.gate(Scope.STOREFRONT)
    gate.charge(gate.admit(show(key)), 29)
    shop.clock.at += 1.9
    with pytest.raises(TooFrequent) as refused:
        gate.admit(show(key))
    assert refused.value.retry_after_s == pytest.approx(0.2)
    shop.clock.at += 0.3
    assert asked(gate, key, 5) == 2


def test_a_limit_outlives_a_change_of_the_file(shop: Shop) -> None:
    key = create_key(shop.path, "app", Scope.STOREFRONT, rate=5)
    gate = shop.gate(Scope.STOREFRONT)
    assert asked(gate, key, 20) == 5
    assert gate.admit(show(create_key(shop.path, "another", Scope.STOREFRONT))).name == "another"
    assert asked(gate, key, 20) == 0


def test_a_key_without_a_rate_has_no_limit_and_every_refusal_is_an_error_of_the_tree(shop: Shop) -> None:
    key = create_key(shop.path, "ops", Scope.ADMIN)
    gate = shop.gate(Scope.ADMIN)
    assert asked(gate, key, 1000) == 1000
    gate.charge(ApiKey("ops", b"", Scope.ADMIN), 5)
    assert {Unauthorized, Forbidden, TooFrequent} == set(Refused.__subclasses__())
