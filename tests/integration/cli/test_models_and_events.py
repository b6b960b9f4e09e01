"""`omakase models …` and `omakase events stats`, over real stores."""

from __future__ import annotations

import re

import numpy as np
import pytest

from omakase import models
from omakase.adapters import (
    open_catalogue_store,
    open_delivery_store,
    open_event_log,
    open_model_store,
    open_training_state,
)
from omakase.config import load_product
from omakase.configured import ConfiguredModel
from omakase.core.accounting import DELIVERIES, EVENTS, RECEIVED, SERVED, Tally
from omakase.core.catalogue import Item
from omakase.core.posterior import Statistics
from omakase.deployment import Deployment
from omakase.ports.delivery_store import Parked
from omakase.ports.event_bus import Message
from omakase.ports.model_store import ABSENT, ModelKey
from omakase.ports.training_state import Progress, Tick
from omakase.snapshots import Snapshot, encode_snapshot
from tests.items import seen

KEY = ModelKey("home/abc")
PER_ITEM = """
placements: {home: {variants: {learnt: {share: 10000, policy: thompson, model: home}}}}
policies: {thompson: {type: linear_ts}}
models: {home: {type: per_item, features: taste}}
features:
  taste:
    item: [{type: numeric, name: price}]
    context: [{type: numeric, name: a}, {type: numeric, name: b}, {type: numeric, name: c}]
"""


# omakase models


def learn(deployment: Deployment, clicks: int, of: int, key: ModelKey = KEY) -> None:
    store = open_model_store(deployment.uris.models)
    outcome = np.array([1.0] * clicks + [0.0] * (of - clicks))
    x = np.random.default_rng(2).normal(size=(of, 3)) + np.array([1.0, 0.0, 0.0])
    sums = Statistics.of(x, {"click": outcome, "reward": outcome}, np.ones(of))
    body = encode_snapshot(Snapshot(*key.split("/"), sums, {"embedded": of}, 1_760_000_000.0, reason="learnt"))
    store.publish(key, body, if_generation=store.generation(key))


def test_models_are_listed(omakase, deployment):
    where = ("--data-dir", deployment.data_dir)
    assert "no model was published yet" in omakase("models", "list", *where).out
    assert omakase("models", "list", "--json", *where).json() == []
    learn(deployment, 5, of=100)
    learn(deployment, 1, of=10, key=ModelKey("basket/x"))
    store = open_model_store(deployment.uris.models)
    store.publish(ModelKey("_counts/home-top"), b"{}", if_generation=ABSENT)
    basket, home = omakase("models", "list", "--json", *where).json()
    assert (basket["model"], home["model"]) == ("basket/x", "home/abc")
    assert (home["generation"], home["examples"], home["click_rate"], home["frozen"]) == (1, 100, 0.05, False)
    assert home["published_at"] == "2025-10-09T08:53:20+00:00"
    table = omakase("models", "list", *where).out
    assert re.search(r"home/abc .* 1 .* 100 .* 0.05 .* 09 Oct 08:53:20 .* learning: learnt", table)


def test_a_model_is_shown_with_its_surest_weights_first(omakase, deployment):
    learn(deployment, 80, of=100)
    where = ("--data-dir", deployment.data_dir)
    shown = omakase("models", "show", "home", "--json", *where).json()
    assert (shown["history"], shown["sequences"]) == ([1], {"embedded": 100})
    sureness = [abs(weight["mean"]) / weight["deviation"] for weight in shown["weights"]]
    assert sureness == sorted(sureness, reverse=True)
    assert shown["weights"][0]["coordinate"] == 0
    assert "kept generations: 1" in omakase("models", "show", "home/abc", *where).out


def test_what_is_shown_is_believed_on_the_configured_prior(omakase, deployment, tmp_path):
    def deviations(prior: float) -> list[float]:
        config = tmp_path / "shop.yaml"
        config.write_text(PER_ITEM.replace("type: per_item", f"prior_precision: {prior}"))
        model, store = ConfiguredModel.of(load_product(config), "home"), open_model_store(deployment.uris.models)
        body = encode_snapshot(Snapshot("home", model.spec.schema_id, model.learner.empty()))
        store.publish(model.key, body, if_generation=store.generation(model.key))
        where = ("--json", "--config", config, "--data-dir", deployment.data_dir)
        return sorted(weight["deviation"] for weight in omakase("models", "show", "home", *where).json()["weights"])

    # Before anything is learnt the deviations are the prior's: four times the precision, half of them.
    assert deviations(4.0) == pytest.approx([one / 2 for one in deviations(1.0)])


def test_a_model_is_rolled_back_and_resumed(omakase, deployment):
    where = ("--data-dir", deployment.data_dir)
    for of in (10, 20, 30):
        learn(deployment, 1, of=of)
    said = omakase("models", "rollback", "home", "--to", "1", *where)
    assert (said.code, said.out) == (0, "home/abc is now generation 4 (rollback to 1); learning is frozen\n")
    found = models.newest(open_model_store(deployment.uris.models), KEY).snapshot
    assert (found.frozen, found.statistics.examples, found.sequences) == (True, 10, {"embedded": 30})
    assert "frozen: rollback to 1" in omakase("models", "list", *where).out
    said = omakase("models", "resume", "home", *where)
    assert (said.code, said.out) == (0, "home/abc learns again from generation 5\n")
    said = omakase("models", "rollback", "home", *where)
    assert (said.code, "(rollback to 4)" in said.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("show", "hom"), 2, "no model 'hom'; known: home/abc"),
        (("rollback", "home"), 2, "home/abc has no generation before 1"),
        (("rollback", "home", "--to", "7"), 2, "home/abc keeps no generation 7; kept: 1"),
        (("resume", "basket"), 2, "no model 'basket'"),
    ],
)
def test_what_cannot_be_done_to_a_model_is_said_in_words(omakase, deployment, arguments, code, words):
    learn(deployment, 1, of=10)
    said = omakase("models", *arguments, "--data-dir", deployment.data_dir)
    assert said.code == code
    assert words in said.err


def test_a_corrupt_model_is_an_error_that_names_its_file(omakase, deployment):
    learn(deployment, 1, of=10)
    (snapshot,) = (deployment.root / "models").glob("*/1.snapshot")
    snapshot.write_bytes(b"rotten")
    said = omakase("models", "show", "home", "--data-dir", deployment.data_dir)
    assert said.code == 3
    assert "1.snapshot is not what was written" in said.err


# omakase events stats


def account_for(deployment: Deployment, served: int, received: int, parked: int = 0, lost: int = 0) -> None:
    """Tracking published `served` deliveries and `received` events; the trainer read all and counted all but `lost`."""
    bus, store = open_event_log(deployment.uris.bus), open_delivery_store(deployment.uris.deliveries)
    bus.publish([Message(b"d" * 16, 1.0, b"", "deliveries", served)])
    bus.publish([Message(n.to_bytes(16, "big"), 1.0, b"") for n in range(received + lost)])
    store.park([Parked(n.to_bytes(16, "big"), b"r" * 16, 1.0, b"") for n in range(parked)])
    tally = Tally({(DELIVERIES, SERVED): served, (DELIVERIES, "learnt"): served})
    tally.update({(EVENTS, RECEIVED): received, (EVENTS, "used"): received})
    open_training_state(deployment.uris.training).commit(Tick(Progress(1, bus.last_offset()), {}, tally))


def test_the_account_is_printed(omakase, deployment):
    account_for(deployment, served=6, received=4, parked=2)
    where = ("--data-dir", deployment.data_dir)
    said = omakase("events", "stats", "--json", *where)
    assert said.code == 0
    account = said.json()
    assert (account["recorded"], account["accepted"], account["parked"], account["faults"]) == (6, 6, 2, [])
    assert account["deliveries"] == {"total": 6, "ends": {"learnt": 6}, "open": 0}
    table = omakase("events", "stats", *where).out
    assert re.search(r"taken by tracking .* 6 .* 6 ", table)
    assert re.search(r"waiting for their delivery .* 2 ", table)


def test_an_account_that_does_not_balance_is_exit_code_1_and_says_where(omakase, deployment):
    account_for(deployment, served=6, received=4, lost=1)
    where = ("--data-dir", deployment.data_dir)
    said = omakase("events", "stats", "--json", *where)
    assert said.code == 1
    fault = "tracking accepted 5 events, the trainer read 4 and 0 wait for their delivery"
    assert said.json()["faults"] == [fault]
    said = omakase("events", "stats", *where)
    assert (said.code, f"not balanced: {fault}" in said.out) == (1, True)


def test_what_the_trainer_has_not_read_yet_is_no_fault(omakase, deployment):
    account_for(deployment, served=6, received=4)
    open_event_log(deployment.uris.bus).publish([Message(b"late" * 4, 1.0, b"")])
    where = ("--data-dir", deployment.data_dir)
    said = omakase("events", "stats", "--json", *where)
    assert (said.code, said.json()["unread"], said.json()["accepted"]) == (0, 1, 5)
    assert re.search(r"on the way to the trainer .* 1 message", omakase("events", "stats", *where).out)


def test_an_item_of_a_per_item_model_is_shown_with_weights_of_its_own(omakase, deployment, tmp_path):
    config = tmp_path / "shop.yaml"
    config.write_text(PER_ITEM)
    model = ConfiguredModel.of(load_product(config), "home")
    sums = model.learner.refold(seen(500, items=2))
    store = open_model_store(deployment.uris.models)
    body = encode_snapshot(Snapshot("home", model.spec.schema_id, sums))
    store.publish(model.key, body, if_generation=ABSENT)
    open_catalogue_store(deployment.uris.catalogue).put([Item("i1", {"price": 0.6}), Item("new", {"price": 0.6})])
    where = ("--data-dir", deployment.data_dir, "--config", config, "--json")
    known, new = (
        {row["coordinate"]: row for row in omakase("models", "show", "home", "--item", item, *where).json()["weights"]}
        for item in ("i1", "new")
    )
    assert known.keys() == new.keys() == {"1", "a", "b", "c"}
    assert all(known[name]["deviation"] < new[name]["deviation"] for name in known)
    assert known["a"]["mean"] != new["a"]["mean"]
    missing = omakase("models", "show", "home", "--item", "i2", *where)
    assert missing.code != 0
    assert "the catalogue has no item 'i2'" in missing.err
    plain = omakase("models", "show", "home", "--item", "i1", "--data-dir", deployment.data_dir)
    assert plain.code != 0
    assert "--config" in plain.err
