"""What was read a moment ago."""

from __future__ import annotations

from omakase.adapters.gcp.datastore.recollection import Recollection


class Hours:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def recollection(most: int = 10) -> tuple[Recollection[str, int], Hours]:
    clock = Hours()
    return Recollection(60.0, most, clock), clock


def test_what_was_read_is_remembered_and_that_there_was_nothing() -> None:
    memory, _ = recollection()
    assert memory.recall(["a", "b", "a"]) == ({}, ["a", "b"])
    memory.remember(["a", "b"], {"a": 1}, memory.now())
    assert memory.recall(["a", "b", "c"]) == ({"a": 1}, ["c"])


def test_what_is_too_old_is_not_recalled() -> None:
    memory, clock = recollection()
    memory.remember(["a", "b"], {"a": 1}, memory.now())
    clock.now += 59.0
    memory.remember(["b"], {"b": 2}, memory.now())
    assert memory.recall(["a", "b"]) == ({"a": 1, "b": 2}, [])
    clock.now += 1.0
    assert memory.recall(["a", "b"]) == ({"b": 2}, ["a"])


def test_the_longest_unused_goes_first() -> None:
    memory, _ = recollection(most=2)
    memory.remember(["a", "b"], {"a": 1, "b": 2}, memory.now())
    memory.recall(["a"])
    memory.remember(["c"], {"c": 3}, memory.now())
    assert memory.recall(["a", "b", "c"]) == ({"a": 1, "c": 3}, ["b"])


def test_what_was_read_before_a_change_is_not_remembered_after_it() -> None:
    memory, _ = recollection()
    memory.remember(["a"], {"a": 1}, memory.now())
    since = memory.now()
    memory.drop(["a"])
    memory.remember(["a"], {"a": 1}, since)
    assert memory.recall(["a"]) == ({}, ["a"])
