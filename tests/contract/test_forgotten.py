"""Contract of who was forgotten."""

from __future__ import annotations

from hashlib import sha256

import pytest

from omakase import adapters
from omakase.core.errors import InvalidInput
from omakase.ports.delivery_store import StoredSlate


def test_knows_when_a_person_was_forgotten_and_the_latest_time_counts(forgotten_people):
    forgotten = forgotten_people.open()
    assert forgotten.find(["ada"]) == {}
    for at in (5.0, 9.0, 7.0):
        forgotten.forget(["ada", "bob"], at)
    assert forgotten.find(["ada", "eve", "ada"]) == {"ada": 9.0}


def test_says_who_was_forgotten_lately_to_those_who_know_the_pseudonym(forgotten_people):
    forgotten = forgotten_people.open()
    assert forgotten.since(0.0) == {}
    forgotten.forget(["ada"], 5.0)
    forgotten.forget(["bob", "eve"], 9.5)
    hashes = {person: sha256(person.encode()).hexdigest() for person in ("ada", "bob", "eve")}
    assert forgotten.since(5.0) == {hashes["ada"]: 5.0, hashes["bob"]: 9.5, hashes["eve"]: 9.5}
    assert forgotten.since(5.1) == {hashes["bob"]: 9.5, hashes["eve"]: 9.5}
    assert forgotten.since(9.6) == {}


def test_nobody_is_refused(forgotten_people):
    with pytest.raises(InvalidInput):
        forgotten_people.open().forget(["ada", ""], 1.0)


def test_does_not_say_who_it_was(forgotten_people, tmp_path):
    forgotten_people.open().forget(["ada-lovelace"], 1.0)
    assert all(b"ada-lovelace" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_rewrites_records_that_hold_a_text_and_leaves_nothing_of_what_they_were(forgotten_people, tmp_path):
    store, forgotten = adapters.open_delivery_store(forgotten_people.uri), forgotten_people.open()
    names = [b"ada-lovelace", b"bob"]
    bodies = [b"x" * size + name for size in (10, 3000, 60_000) for name in names]
    slates = [StoredSlate(bytes([n]) * 16, float(n), body) for n, body in enumerate(bodies)]
    store.put(slates)
    store.expire(1.0)  # what was deleted before is still in the file
    assert forgotten.rewrite([b"ada-lovelace"], lambda body: body[:10]) == 2
    found = store.find([slate.request_id for slate in slates])
    assert sorted(map(len, found.values())) == [10, 10, 13, 3003, 60_003]
    left = {path.name for path in tmp_path.rglob("*") if path.is_file() and b"ada-lovelace" in path.read_bytes()}
    assert left == set()
