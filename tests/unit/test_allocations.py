"""The ledger: people stay where they are over restarts, and every gateway knows where that is."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from omakase.adapters.local.model_store import FileModelStore
from omakase.allocations import KEY, Allocations, Ledger, decode, encode, settled
from omakase.config import Product, parse_product
from omakase.core.allocation import Allocation, Schedule
from omakase.core.errors import Conflict, Corrupt, Unavailable
from omakase.counts import is_model
from omakase.ports.model_store import Generation, ModelKey, ModelStore

NOW, STEP = 1796083199.0, 1796083200.0
CONFIG = """\
placements:
  home:
    variants: {plain: {share: 6000, policy: chance}, calm: {share: 4000, policy: chance}}
experiments:
  ranker:
    placements: [home]
    ramp: [{at: 2026-12-01T00:00:00Z, share: 5000}]
    variants: {old: {share: 100, policy: chance}, new: {share: 300, policy: chance}}
policies: {chance: {type: uniform}}
"""


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return FileModelStore(tmp_path)


def product(*changes: tuple[str, str]) -> Product:
    text = CONFIG
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_product(text)


def ledger(store: ModelStore, *changes: tuple[str, str], now: float = NOW) -> Ledger:
    return Ledger(store, product(*changes), lambda: now)


OTHER_SHARES = (("plain: {share: 6000", "plain: {share: 5000"), ("calm: {share: 4000", "calm: {share: 5000"))
WITHOUT = (("  ranker:", "  other:"), ("share: 5000", "share: 0"))


def moved(before: Allocation, after: Allocation) -> int:
    return sum(a != b for a, b in zip(before.owners, after.owners, strict=True))


def test_a_restart_finds_everybody_where_they_were_and_writes_nothing(store) -> None:
    first = ledger(store).settle()
    assert ledger(store).settle() == first
    assert store.generation(KEY) == 1
    assert not is_model(KEY)


def test_a_change_of_shares_moves_the_fewest_and_its_return_is_another_change(store) -> None:
    first = ledger(store).settle().placements["home"].at(NOW)
    changed = ledger(store, *OTHER_SHARES).settle().placements["home"].at(NOW)
    assert changed.shares == {"plain": 5000, "calm": 5000}
    assert moved(first, changed) == 1000
    assert moved(changed, ledger(store).settle().placements["home"].at(NOW)) == 1000
    assert store.generation(KEY) == 3


def test_a_ramp_step_that_falls_due_needs_no_write_and_is_the_same_for_all(store) -> None:
    layer = ledger(store).settle().layers["home"]
    assert layer.at(NOW).shares == {}
    assert layer.at(STEP).shares == {"ranker/old": 50, "ranker/new": 150}
    assert ledger(store, now=STEP).settle().layers["home"].at(STEP) == layer.at(STEP)
    assert store.generation(KEY) == 1


def test_an_experiment_that_was_taken_out_lets_everybody_go_and_gets_them_back(store) -> None:
    ran = ledger(store, now=STEP).settle().layers["home"].at(STEP)
    ended = ledger(store, *WITHOUT, now=STEP).settle().layers["home"].at(STEP)
    assert ended.shares == {}
    assert ledger(store, now=STEP).settle().layers["home"].at(STEP) == ran


def test_a_configuration_without_experiments_lets_everybody_go_on_every_gateway(store) -> None:
    old = ledger(store, now=STEP)
    assert old.settle().layers["home"].at(STEP).shares
    without = parse_product(CONFIG[: CONFIG.index("experiments:")] + "policies: {chance: {type: uniform}}")
    Ledger(store, without, lambda: STEP).settle()
    followed = old.follow()
    assert followed is not None
    assert followed.layers["home"].at(STEP).shares == {}


def test_a_step_that_is_planned_anew_moves_nobody_now_and_is_in_force_for_all(store) -> None:
    old = ledger(store)
    first = old.settle().layers["home"]
    ledger(store, ("share: 5000", "share: 10000")).settle()
    followed = old.follow()
    assert followed is not None
    assert followed.layers["home"].at(NOW) == first.at(NOW)
    assert followed.layers["home"].at(STEP).shares == {"ranker/old": 100, "ranker/new": 300}


def test_steps_that_are_over_are_not_planned_again(store) -> None:
    steps = ("share: 5000}", "share: 5000}, {at: 2026-12-02T00:00:00Z, share: 10000}")
    later = STEP + 7 * 86_400
    first = ledger(store, steps, now=later).settle()
    assert first.layers["home"].at(later).shares == {"ranker/old": 100, "ranker/new": 300}
    assert first.layers["home"].starts == ()
    ledger(store, steps, now=later).settle()
    assert store.generation(KEY) == 1


def test_another_salt_deals_people_anew(store) -> None:
    first = ledger(store).settle().placements["home"].at(NOW)
    salted = ("    variants: {plain", "    salt: other\n    variants: {plain")
    dealt = ledger(store, salted).settle().placements["home"].at(NOW)
    assert dealt.shares == first.shares
    assert dealt.salt != first.salt


def test_a_gateway_follows_what_another_has_settled_since(store) -> None:
    old = ledger(store)
    old.settle()
    new = ledger(store, *OTHER_SHARES).settle()
    assert old.follow() == new
    assert old.follow() is None
    assert store.generation(KEY) == 2, "it follows, and does not settle its own again"


def test_gateways_that_settle_the_same_at_once_agree(store) -> None:
    ledger(store, *OTHER_SHARES).settle()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: ledger(store).settle(), range(4)))
    assert all(one == found[0] for one in found)
    assert store.generation(KEY) == 2


class Contested:
    """A model store where somebody else always writes first."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store

    def generation(self, key: ModelKey) -> Generation:
        return self._store.generation(key)

    def latest(self, key: ModelKey) -> tuple[bytes, Generation] | None:
        return self._store.latest(key)

    def publish(self, key: ModelKey, snapshot: bytes, *, if_generation: Generation) -> Generation:
        other = settled(Allocations(), product(*OTHER_SHARES), NOW + self._store.generation(key))
        self._store.publish(key, encode(other), if_generation=if_generation)
        raise Conflict("somebody else was first")


def test_who_never_gets_through_says_so_and_serves_nothing(store) -> None:
    with pytest.raises(Unavailable, match="others keep changing"):
        ledger(Contested(store)).settle()


def test_what_was_written_is_read_again() -> None:
    allocations = settled(Allocations(), product(), NOW)
    assert decode(encode(allocations)) == allocations
    assert len(encode(allocations)) < 10_000


@pytest.mark.parametrize(
    "damage",
    [
        lambda ledger: b"",
        lambda ledger: b"[]",
        lambda ledger: json.dumps({**ledger, "layers": [1]}).encode(),
        lambda ledger: json.dumps({"layers": ledger["layers"]}).encode(),
        lambda ledger: json.dumps(changed(ledger, buckets="AAAA")).encode(),
        lambda ledger: json.dumps(changed(ledger, buckets="eJwDAAAAAAE=")).encode(),
        lambda ledger: json.dumps(changed(ledger, arms=["plain"])).encode(),
        lambda ledger: json.dumps(changed(ledger, changes=[[1.0, {"plain": 10_001}]])).encode(),
        lambda ledger: json.dumps(changed(ledger, changes=[[2.0, {}], [1.0, {}]])).encode(),
        lambda ledger: json.dumps(changed(ledger, changes=[[1.0, {"plain": "many"}]])).encode(),
        lambda ledger: json.dumps(changed(ledger, changes=[["x", {}]])).encode(),
    ],
)
def test_what_is_no_ledger_is_refused(damage) -> None:
    document = json.loads(encode(settled(Allocations(), product(), NOW)))
    with pytest.raises(Corrupt):
        decode(damage(document))


def changed(document: dict, **entries: object) -> dict:
    home = {**document["placements"]["home"], **entries}
    return {**document, "placements": {"home": home}}


def test_a_damaged_ledger_is_settled_again_from_the_newest_good_one(store) -> None:
    first = ledger(store).settle()
    store.publish(KEY, b"damaged", if_generation=store.generation(KEY))
    changed_since = ledger(store, *OTHER_SHARES).settle()
    assert moved(first.placements["home"].at(NOW), changed_since.placements["home"].at(NOW)) == 1000
    assert store.generation(KEY) == 3


def test_placements_that_others_configure_keep_their_entry(store) -> None:
    first = ledger(store).settle()
    renamed = ledger(store, ("  home:", "  start:"), ("[home]", "[start]")).settle()
    assert renamed.placements["home"] == first.placements["home"]
    assert isinstance(renamed.placements["start"], Schedule)
