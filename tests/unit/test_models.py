"""What people do to a model by hand, over the real store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omakase import models
from omakase.adapters.local.model_store import FileModelStore
from omakase.core.errors import Conflict, Corrupt, InvalidInput, NotFound
from omakase.core.posterior import Statistics
from omakase.ports.model_store import Generation, ModelKey
from omakase.snapshots import Snapshot, encode_snapshot

KEY = ModelKey("home/abc")


class Store(FileModelStore):
    """The real store, with a rival who writes first as often as a test says."""

    rivals = 0

    def publish(self, key: ModelKey, snapshot: bytes, *, if_generation: Generation) -> Generation:
        if self.rivals:
            self.rivals -= 1
            super().publish(key, snapshot, if_generation=if_generation)
        return super().publish(key, snapshot, if_generation=if_generation)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def learn(store: Store, sequence: int, key: ModelKey = KEY) -> Generation:
    """The snapshot that holds `sequence` batches of one example each."""
    sums = Statistics.of(np.ones((sequence, 2)), {"click": np.ones(sequence)}, np.ones(sequence))
    body = encode_snapshot(Snapshot(*key.split("/"), sums, {"embedded": sequence}, float(sequence), reason="learnt"))
    return store.publish(key, body, if_generation=store.generation(key))


def test_rolls_back_to_the_one_before_and_freezes(store):
    for sequence in (1, 2, 3):
        learn(store, sequence)
    published = models.roll_back(store, KEY, None, now=50.0)
    assert (published.generation, store.generation(KEY)) == (4, 4)
    found = models.newest(store, KEY).snapshot
    assert (found.statistics.examples, found.frozen, found.reason) == (2, True, "rollback to 2")
    assert found.published_at == 50.0


def test_what_was_learnt_in_between_is_given_up_not_learnt_again(store):
    for sequence in (1, 2, 3):
        learn(store, sequence)
    models.roll_back(store, KEY, Generation(1), now=50.0)
    assert models.newest(store, KEY).snapshot.sequences == {"embedded": 3}


def test_rolls_back_to_a_named_generation_and_never_rewrites_it(store):
    for sequence in (1, 2, 3):
        learn(store, sequence)
    before = store.read(KEY, Generation(1))
    assert models.roll_back(store, KEY, Generation(1), now=50.0).generation == 4
    assert models.newest(store, KEY).snapshot.statistics.examples == 1
    assert store.read(KEY, Generation(1)) == before
    assert store.history(KEY) == [4, 3, 2, 1]


@pytest.mark.parametrize("to", [0, -1, 4, 99])
def test_refuses_a_generation_that_is_not_kept_and_names_those_that_are(store, to):
    for sequence in (1, 2, 3):
        learn(store, sequence)
    with pytest.raises(NotFound, match=f"keeps no generation {to}; kept: 3, 2, 1"):
        models.roll_back(store, KEY, Generation(to), now=50.0)
    assert store.generation(KEY) == 3


def test_refuses_to_roll_back_the_first(store):
    learn(store, 1)
    with pytest.raises(NotFound, match="no generation before 1"):
        models.roll_back(store, KEY, None, now=50.0)


def test_refuses_to_serve_an_old_one_that_is_corrupt(store):
    store.publish(KEY, b"nonsense", if_generation=Generation(0))
    learn(store, 2)
    with pytest.raises(Corrupt):
        models.roll_back(store, KEY, None, now=50.0)
    assert models.newest(store, KEY).generation == 2


def test_resumes_what_is_frozen_with_what_it_holds(store):
    for sequence in (1, 2):
        learn(store, sequence)
    models.roll_back(store, KEY, None, now=50.0)
    published = models.resume(store, KEY, now=60.0)
    found = models.newest(store, KEY)
    assert (published.generation, found.generation) == (4, 4)
    assert (found.snapshot.frozen, found.snapshot.statistics.examples, found.snapshot.reason) == (False, 1, "resumed")
    assert found.snapshot.sequences == {"embedded": 2}


def test_resuming_what_is_not_frozen_writes_nothing(store):
    learn(store, 1)
    assert models.resume(store, KEY, now=60.0).generation == 1
    assert store.generation(KEY) == 1


def test_reads_again_when_the_trainer_wrote_first(store):
    for sequence in (1, 2):
        learn(store, sequence)
    store.rivals = 3
    published = models.roll_back(store, KEY, Generation(1), now=50.0)
    assert published.generation == 6
    assert models.newest(store, KEY).snapshot.statistics.examples == 1


def test_gives_up_in_words_when_the_trainer_always_writes_first(store):
    for sequence in (1, 2):
        learn(store, sequence)
    store.rivals = 1000
    with pytest.raises(Conflict, match="try again"):
        models.roll_back(store, KEY, None, now=50.0)


def test_names_are_resolved(store):
    learn(store, 1, ModelKey("home/abc"))
    learn(store, 1, ModelKey("basket/x1"))
    learn(store, 1, ModelKey("basket/x2"))
    store.publish(ModelKey("_counts/home-top"), b"[]", if_generation=Generation(0))
    assert models.keys(store) == ["basket/x1", "basket/x2", "home/abc"]
    assert models.resolve(store, "home") == "home/abc"
    assert models.resolve(store, "basket/x2") == "basket/x2"
    with pytest.raises(InvalidInput, match="several schemas, name one: basket/x1, basket/x2"):
        models.resolve(store, "basket")
    for name in ("hom", "", "_counts", "_counts/home-top", "../models"):
        with pytest.raises(NotFound, match="known: basket/x1, basket/x2, home/abc"):
            models.resolve(store, name)


def test_an_empty_store_says_so(store):
    with pytest.raises(NotFound, match="known: none yet"):
        models.resolve(store, "home")
    with pytest.raises(NotFound, match="known: none yet"):
        models.newest(store, KEY)


def test_a_second_rollback_must_say_where_to(store):
    for sequence in (1, 2, 3):
        learn(store, sequence)
    models.roll_back(store, KEY, None, now=50.0)
    with pytest.raises(InvalidInput, match="name the generation"):
        models.roll_back(store, KEY, None, now=60.0)
    assert models.roll_back(store, KEY, Generation(1), now=60.0).snapshot.reason == "rollback to 1"
