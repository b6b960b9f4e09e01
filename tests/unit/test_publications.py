"""Which generation was the first to hold a batch, as far as what is kept can tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from omakase.adapters.local.model_store import FileModelStore
from omakase.core.posterior import Statistics
from omakase.ports.model_store import ABSENT, ModelKey
from omakase.publications import publication
from omakase.snapshots import Snapshot, encode_snapshot

KEY = ModelKey("clicks/abc")


@pytest.fixture
def store(tmp_path: Path) -> FileModelStore:
    """Generations 1 to 5, which hold the batches up to 10, 20, …, 50."""
    store = FileModelStore(tmp_path)
    for number in range(1, 6):
        snapshot = Snapshot(
            "clicks", "abc", Statistics.empty(1), {"here": 10 * number}, 100.0 * number, reason="learnt"
        )
        store.publish(KEY, encode_snapshot(snapshot), if_generation=store.generation(KEY))
    return store


def lose(store: FileModelStore, directory: Path, generation: int) -> None:
    next(directory.glob(f"*/{generation}.*")).unlink()


@pytest.mark.parametrize(("sequence", "generation"), [(1, 1), (10, 1), (11, 2), (50, 5)])
def test_the_first_generation_with_the_batch_is_found(store: FileModelStore, sequence: int, generation: int) -> None:
    found = publication(store, KEY, "here", sequence)
    assert found is not None
    assert (found.generation, found.is_first, found.undone_by) == (generation, True, ABSENT)
    assert found.published_at == 100.0 * generation


@pytest.mark.parametrize(("shard", "sequence"), [("here", 51), ("elsewhere", 1)])
def test_what_no_generation_holds_is_not_published(store: FileModelStore, shard: str, sequence: int) -> None:
    assert publication(store, KEY, shard, sequence) is None
    assert publication(store, ModelKey("unknown/abc"), shard, sequence) is None


def test_between_generations_that_are_kept_it_is_not_known_which(store: FileModelStore, tmp_path: Path) -> None:
    lose(store, tmp_path, 3)
    found = publication(store, KEY, "here", 25)
    assert found is not None
    assert (found.generation, found.is_first, found.after) == (4, False, 2)


def test_before_the_oldest_that_is_kept_it_is_not_known_which(store: FileModelStore, tmp_path: Path) -> None:
    lose(store, tmp_path, 1)
    found = publication(store, KEY, "here", 5)
    assert found is not None
    assert (found.generation, found.is_first, found.after) == (2, False, ABSENT)


def test_a_rollback_is_not_taken_for_the_generation_that_it_undid(store: FileModelStore) -> None:
    undone = Snapshot("clicks", "abc", Statistics.empty(1), {"here": 60}, 600.0, reason="rollback to 2")
    store.publish(KEY, encode_snapshot(undone), if_generation=store.generation(KEY))
    within, beyond = publication(store, KEY, "here", 45), publication(store, KEY, "here", 15)
    assert within is not None
    assert beyond is not None
    assert (within.generation, within.undone_by) == (5, 6)
    assert (beyond.generation, beyond.undone_by) == (2, ABSENT)
    skipped = publication(store, KEY, "here", 60)
    assert skipped is not None
    assert not skipped.is_first
