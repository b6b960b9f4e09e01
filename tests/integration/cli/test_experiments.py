"""`omakase experiments list|assign|override` on the data directory of a deployment."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from omakase.adapters import open_model_store
from omakase.allocations import KEY, Ledger
from omakase.config import load_product
from omakase.core import overrides
from omakase.core.errors import Forbidden
from omakase.deployment import Deployment
from omakase.keys import load_keys

CONFIG = """\
placements:
  home:
    variants: {plain: {share: 10000, policy: chance}}
    shadows: {ghost: {share: 100, policy: chance}}
  basket: {variants: {still: {share: 10000, policy: chance}}}
experiments:
  ranker:
    placements: [home]
    target: {country: [JP, KR], age: 30}
    ramp: [{at: 2020-01-01T00:00:00Z, share: 10000}, {at: 2100-01-01T00:00:00Z, share: 0}]
    variants: {old: {share: 5000, policy: chance}, new: {share: 5000, policy: chance}}
policies: {chance: {type: uniform}}
"""
TARGETED = ("--context", "country=JP", "--context", "age=30")


@pytest.fixture
def shared(deployment: Deployment, tmp_path: Path) -> tuple[object, ...]:
    """The options of every command here."""
    config = tmp_path / "shop.yaml"
    config.write_text(CONFIG)
    return "--config", config, "--data-dir", deployment.data_dir


def settle(deployment: Deployment, shared: tuple[object, ...]) -> None:
    """As a gateway does when it starts."""
    store = open_model_store(deployment.uris.models)
    Ledger(store, load_product(Path(str(shared[1]))), time.time).settle()


def test_lists_every_experiment_with_what_is_in_force(omakase, deployment, shared):
    assert omakase("experiments", "list", "--json", *shared).json()[0]["variants"] == {
        "old": [0, 5000],
        "new": [0, 5000],
    }
    settle(deployment, shared)
    (ranker,) = omakase("experiments", "list", "--json", *shared).json()
    assert ranker == {
        "experiment": "ranker",
        "layer": "home",
        "placements": "home",
        "target": "country: JP or KR, age: 30.0",
        "variants": {"old": [5000, 5000], "new": [5000, 5000]},
        "next": "0 % of that, 2100-01-01 00:00 UTC",
    }
    assert "ranker" in omakase("experiments", "list", *shared).out


def test_tells_step_by_step_why_a_person_is_where_they_are(omakase, deployment, shared):
    settle(deployment, shared)
    home, basket = omakase("experiments", "assign", "a1", *TARGETED, "--json", *shared).json()
    assert (home["placement"], home["experiment"], home["assigned_by"]) == ("home", "ranker", "experiment")
    assert home["because"][0].startswith("layer home: bucket ")
    assert home["because"][0].endswith(f"belongs to ranker/{home['variant']}, as do 5000 of 10000")
    assert home["because"][1:] == [
        "layer home: no experiment from 2100-01-01 00:00:00 UTC on",
        "target: country is JP or KR; the context says JP: met",
        "target: age is 30.0; the context says 30.0: met",
    ]
    assert (basket["variant"], basket["assigned_by"]) == ("still", "share")
    told = omakase("experiments", "assign", "a1", "--placement", "home", *shared).out
    assert "home: plain, by share" in told
    assert "target: country is JP or KR; the context says nothing of it: not met" in told
    assert load_keys(deployment.keys).pseudonym("anonymous", "a1") in told
    assert "No gateway has loaded" not in told


def test_user_and_anonymous_ids_are_different_people(omakase, shared):
    placement = ("--placement", "home", "--json", *shared)
    buckets = {
        omakase("experiments", "assign", "a1", kind, *placement).json()[0]["because"][0]
        for kind in ("--anonymous", "--user")
    }
    assert len(buckets) == 2


def test_says_so_where_no_gateway_has_loaded_the_configuration_and_changes_nothing(omakase, deployment, shared):
    assert "No gateway has loaded this configuration yet" in omakase("experiments", "assign", "a1", *shared).out
    assert open_model_store(deployment.uris.models).generation(KEY) == 0


def test_makes_an_override_that_the_gateway_takes(omakase, deployment, shared):
    said = omakase("experiments", "override", "home", "new", "--person", "a1", "--for", "60", *shared)
    name, _, value = said.out.strip().partition(": ")
    assert (said.code, name) == (0, "Omakase-Override")
    keyring = load_keys(deployment.keys)
    unit = keyring.pseudonym("anonymous", "a1")
    assert overrides.verify(keyring, value, "home", unit, time.time()) == "new"
    with pytest.raises(Forbidden, match="expired"):
        overrides.verify(keyring, value, "home", unit, time.time() + 61)


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("override", "hom", "new", "--person", "a1"), "no placement 'hom'; did you mean 'home'?"),
        (("override", "home", "nwe", "--person", "a1"), "shows no variant 'nwe'; did you mean 'new'?"),
        (("override", "home", "ghost", "--person", "a1"), "shows no variant 'ghost'"),
        (("override", "home", "new", "--person", "a1", "--for", "604801"), "Invalid value"),
        (("assign", "a1", "--placement", "hom"), "no placement 'hom'; did you mean 'home'?"),
        (("assign", "a1", "--context", "country"), "write a fact and its value, such as country=JP"),
        (("assign", "a1", "--context", 'country={"a": 1}'), "'country' must be text"),
    ],
)
def test_a_mistake_is_told(omakase, shared, command, complaint):
    said = omakase("experiments", *command, *shared)
    assert said.code == 2
    assert complaint in said.err


def test_a_damaged_ledger_is_told(omakase, deployment, shared):
    open_model_store(deployment.uris.models).publish(KEY, b"damaged", if_generation=0)
    said = omakase("experiments", "assign", "a1", *shared)
    assert said.code == 3
    assert "the ledger of allocations is damaged" in said.err
