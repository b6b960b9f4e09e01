"""`omakase models rebuild`, `warm-start`, and what to do about a corrupt snapshot, over real stores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataflow.examples import example_row
from dataflow.publishing import batch_of
from omakase import models
from omakase.adapters import open_model_store, open_training_state, open_warehouse
from omakase.config import load_product
from omakase.configured import ConfiguredModel
from omakase.core.events import Joined
from omakase.core.ids import Pseudonym, new_request_id
from omakase.core.sessions import Example
from omakase.core.slates import Slate
from omakase.core.training import summarise
from omakase.deployment import Deployment
from omakase.keys import load_keys
from omakase.ports.training_state import Progress, Tick
from omakase.rows import delivery_rows
from omakase.snapshots import Snapshot, encode_snapshot
from tests.slates import Ranked, stamp

AT = 1_760_000_000.0


class Shop:
    """A trainer's stores in a data directory: `learn` is one tick, `publish` what the trainer publishes of it."""

    def __init__(self, deployment: Deployment) -> None:
        uris = deployment.uris
        self.model = ConfiguredModel.of(load_product(deployment.config), "home")
        self.key = self.model.key
        self.store, self.state = open_model_store(uris.models), open_training_state(uris.training)
        self.warehouse, self.shard = open_warehouse(uris.warehouse), deployment.shard(self.state.incarnation())
        self.keyring = load_keys(deployment.keys)
        self.where = ("--data-dir", deployment.data_dir)
        self.config = ("--config", deployment.config)
        self.models = deployment.root / "models"

    def learn(self, n: int, variant: str = "learnt") -> None:
        done = self.state.progress()
        sequence, number = done.sequences.get(self.key, 0) + 1, done.number + 1
        slates = [self._slate(i, variant) for i in range(n)]
        examples = [
            Example(
                Joined.of(slate, 1),
                {"click": 1.0, "reward": 1.0},
                1.0,
                slate.served_at,
                None,
                None,
                slate.request_id,
                1,
            )
            for slate in slates
        ]
        rows = [example_row(self.shard, sequence, example) for example in examples]
        self.warehouse.append("examples", f"{self.shard}-{number:012d}", rows)
        self.warehouse.append(
            "deliveries", f"loaded-{number:012d}", [r for slate in slates for r in delivery_rows(slate)]
        )
        self.state.commit(Tick(Progress(number), {}, batches=[batch_of(self.key, summarise(examples), (), sequence)]))
        self.publish(sequence)

    def publish(self, sequence: int) -> None:
        waiting = self.state.pending()  # type: ignore[attr-defined]
        newest = models.look(self.store, self.key)
        snapshot = newest.snapshot if isinstance(newest, models.Published) else None
        sums = models.decode_snapshot(waiting[0].statistics).statistics
        grown = sums if snapshot is None else snapshot.statistics + sums
        body = encode_snapshot(Snapshot("home", self.model.spec.schema_id, grown, {self.shard: sequence}, AT))
        generation = self.store.publish(self.key, body, if_generation=newest.generation)
        self.state.settle(self.key, sequence, generation, AT)  # type: ignore[attr-defined]

    def _slate(self, i: int, variant: str) -> Slate:
        spec, at = self.model.spec, AT + i
        request_id = new_request_id(at, np.random.default_rng([i, self.state.progress().number]).bytes)
        context = {"device": "ios", "hour": 8.0, "weekday": 3.0}
        slate = Slate(
            request_id=request_id,
            served_at=at,
            placement="home-top",
            variant=variant,
            policy="thompson",
            model=self.key,
            model_version="",
            catalogue_generation=1,
            unit=Pseudonym("u"),
            user=Pseudonym("u"),
            context=context,
            context_factor=spec.encode_context(context),
            deliveries=(),
        )
        return replace(slate, deliveries=stamp([Ranked("i", 0.5, spec.encode_item({}), {})], request_id, self.keyring))

    def corrupt(self, generation: int) -> None:
        (snapshot,) = self.models.glob(f"*/{generation}.snapshot")
        snapshot.write_bytes(b"rotten")

    def found(self) -> models.Published:
        return models.newest(self.store, self.key)


@pytest.fixture
def shop(deployment: Deployment) -> Shop:
    return Shop(deployment)


def test_a_model_is_rebuilt_without_what_is_excluded(omakase, shop):
    shop.learn(3)
    shop.learn(2, variant="test")
    said = omakase("models", "rebuild", "home", "--exclude", "variant = 'test'", *shop.where)
    assert (said.code, said.out) == (0, f"3 rows read; {shop.key} is now generation 3, 3 examples\n")
    assert shop.found().snapshot.sequences == {shop.shard: 2}
    said = omakase(
        "models", "rebuild", "home", "--from", "2025-10-09T08:53:21", "--to", "2025-10-09T10:53:22+02:00", *shop.where
    )
    assert "2 rows read" in said.out


def test_a_rebuilt_model_that_was_frozen_says_so(omakase, shop):
    shop.learn(3)
    shop.learn(2)
    omakase("models", "rollback", "home", *shop.where)
    said = omakase("models", "rebuild", "home", *shop.where)
    assert f"frozen (rebuilt from 5 rows, still frozen: rollback to 1): omakase models resume {shop.key}" in said.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("hom",), 2, "no model 'hom'"),
        (("home/nothing",), 2, "no snapshot of home/nothing can be read"),
        (("home", "--from", "yesterday"), 2, "--from 'yesterday' must be ISO 8601"),
        (("home", "--to", "2020-01-01"), 2, "holds no such examples"),
        (("home", "--exclude", "vriant = 'x'"), 2, "exclude is no condition"),
        (("home", "--schema", "new"), 2, "--schema needs --config"),
    ],
)
def test_what_cannot_be_rebuilt_is_said_in_words(omakase, shop, arguments, code, words):
    shop.learn(3)
    said = omakase("models", "rebuild", *arguments, *shop.where)
    assert (said.code, words in said.err) == (code, True), said.err
    assert shop.found().generation == 1


def test_models_that_the_store_has_lost_are_rebuilt_with_the_configuration(omakase, shop):
    shop.learn(3)
    for file in shop.models.glob("*/*"):
        file.unlink()
    said = omakase("models", "rebuild", "home", *shop.config, *shop.where)
    assert (said.code, shop.found().snapshot.statistics.examples) == (0, 3)


def test_a_changed_schema_starts_with_what_the_old_one_learnt(omakase, shop, tmp_path):
    shop.learn(3)
    changed = tmp_path / "changed.yaml"
    changed.write_text(Path(shop.config[1]).read_text().replace("name: price, mean: 80", "name: price, mean: 90"))
    new = ConfiguredModel.of(load_product(changed), "home").key
    assert new != shop.key
    wanted = ("models", "rebuild", "home", "--config", changed, *shop.where)
    said = omakase(*wanted, "--schema", "new")
    assert (said.code, said.out) == (0, f"3 rows read; {new} is now generation 1, 3 examples\n")
    assert "there is nothing new to add" in omakase(*wanted, "--schema", new.partition("/")[2]).out
    said = omakase(*wanted, "--schema", "abc")
    assert (said.code, f"make the schema {new.partition('/')[2]}, not 'abc'" in said.err) == (2, True)


def test_a_model_starts_warm_from_a_log_once(omakase, shop, tmp_path):
    log = tmp_path / "old.ndjson"
    line = {"clicked": 1, "at": "2025-10-09T08:00:00Z", "context": {"device": "ios"}, "metadata": {}}
    log.write_text(json.dumps(line) + "\n")
    arguments = ("models", "warm-start", "home", "--from", log, *shop.config, *shop.where)
    said = omakase(*arguments)
    assert (said.code, said.out) == (0, f"1 rows read; {shop.key} is now generation 1, 1 examples\n")
    said = omakase(*arguments)
    assert (said.code, "has learnt this log before" in said.err) == (2, True)
    log.write_text(json.dumps(line) + "\n{}\n")
    said = omakase(*arguments)
    assert (said.code, "old.ndjson, line 2:" in said.err) == (2, True)
    assert shop.found().generation == 1


def test_a_rebuild_names_the_log_that_it_drops(omakase, shop, tmp_path):
    shop.learn(3)
    log = tmp_path / "old.ndjson"
    log.write_text(json.dumps({"clicked": 1, "at": AT, "metadata": {}}) + "\n")
    omakase("models", "warm-start", "home", "--from", log, *shop.config, *shop.where)
    said = omakase("models", "rebuild", "home", *shop.where)
    assert "was in the model and is not in the rebuilt one: add it again" in said.out
    assert omakase("models", "warm-start", "home", "--from", log, *shop.config, *shop.where).code == 0
    assert shop.found().snapshot.statistics.examples == 4


def test_a_corrupt_model_is_listed_and_can_be_rolled_back_or_rebuilt(omakase, shop):
    shop.learn(3)
    shop.learn(2)
    shop.corrupt(2)
    (listed,) = omakase("models", "list", "--json", *shop.where).json()
    assert (listed["generation"], "is not what was written" in listed["corrupt"]) == (2, True)
    assert "corrupt: " in omakase("models", "list", *shop.where).out
    said = omakase("models", "show", "home", *shop.where)
    assert (said.code, f"omakase models rebuild {shop.key}" in said.err) == (3, True)
    said = omakase("models", "rollback", "home", *shop.where)
    assert (said.code, "generation 3 (rollback to 1)" in said.out) == (0, True)
    assert shop.found().snapshot.sequences == {shop.shard: 2}
    shop.corrupt(3)
    said = omakase("models", "rebuild", "home", *shop.where)
    assert (said.code, "could not be read" in said.out) == (0, True)
    assert shop.found().snapshot.statistics.examples == 5


def test_coordinates_have_names_where_the_configuration_is_given(omakase, shop):
    shop.learn(3)
    shown = omakase("models", "show", "home", "--json", *shop.config, *shop.where).json()
    assert "1" in {weight["coordinate"] for weight in shown["weights"]}
    shown = omakase("models", "show", "home", "--json", *shop.where).json()
    assert 0 in {weight["coordinate"] for weight in shown["weights"]}
