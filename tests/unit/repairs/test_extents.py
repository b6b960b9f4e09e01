"""Which batches are there, of parts that came in any order."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from omakase.adapters.local.model_store import FileModelStore
from omakase.adapters.local.training_state import SqliteTrainingState
from omakase.adapters.local.warehouse import FileWarehouse
from omakase.ports.model_store import ModelKey
from omakase.repairs.extents import extents
from omakase.repairs.reach import Reaching

KEY, NOW = ModelKey("clicks/abc"), 1_790_000_000.0
LATELY, LONG_AGO = int(NOW // 3600 * 3600) - 3600, int(NOW // 3600 * 3600) - 8 * 86_400


@pytest.fixture
def warehouse(tmp_path: Path) -> FileWarehouse:
    return FileWarehouse(tmp_path / "warehouse")


def file(warehouse: FileWarehouse, part: str, hour: int, sequences: Collection[int], shard: str = "stream-1") -> None:
    rows = [{"hour": hour, "shard": shard, "sequence": n, "model": KEY} for n in sequences for _ in range(2)]
    warehouse.append("examples", part, rows)


# Where a thousand batches after a hole are old, what was in it does not come any more.
@pytest.mark.parametrize(
    ("old", "new", "first", "whole", "missing"),
    [
        ((), (1, 2, 3), 1, 3, 0),
        ((), (3, 1, 4), 1, 1, 1),
        ((), (2, 3, 4), 2, 0, 0),
        ((2, 3), (4, 5), 2, 0, 0),
        (range(2, 1003), (1003, 1004), 2, 1004, 0),
        ((2, *range(4, 1005)), (1005, 1007), 2, 1005, 2),
        ((2, 4), (), 2, 4, 1),
    ],
)
def test_a_number_says_nothing_of_those_below_it(warehouse, old, new, first, whole, missing) -> None:
    assert extents(warehouse, KEY) == {}
    file(warehouse, "old", LONG_AGO, old)
    file(warehouse, "new", LATELY, new)
    file(warehouse, "others", LATELY, (9,), shard="another")
    found = extents(warehouse, KEY)["stream-1"]
    assert (found.first, found.last, found.whole(NOW)) == (first, max(*old, *new), whole)
    assert found.missing(found.last) == missing
    assert found.missing(found.last + 2) == missing + 2


def test_what_may_be_added_to_another_model_ends_before_what_is_on_its_way(warehouse, tmp_path) -> None:
    file(warehouse, "one", LATELY, (1, 2, 4))
    file(warehouse, "two", LATELY, (1, 2), shard="stream-2")
    state = SqliteTrainingState(tmp_path / "training.db")
    reaching = Reaching(FileModelStore(tmp_path / "models"), state, warehouse, "embedded-1")
    assert reaching.to_add(KEY, NOW).through == {"stream-1": 2, "stream-2": 2}
    file(warehouse, "late", LATELY, (3,))
    assert reaching.to_add(KEY, NOW).through == {"stream-1": 4, "stream-2": 2}
