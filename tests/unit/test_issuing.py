"""API keys: made once, kept as hashes, revoked in place, and whatever else stands in the file stays."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, wait
from hashlib import sha256
from pathlib import Path

import pytest

from omakase.api_keys import Scope
from omakase.core.errors import InvalidConfig, InvalidInput, NotFound
from omakase.issuing import create_key, revoke_key
from omakase.keys import create_keys, load_api_keys, load_keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_keys(tmp_path / "keys.yaml")
    return tmp_path / "keys.yaml"


def test_a_key_is_stored_as_a_hash_alone_and_nothing_else_of_the_file_changes(path: Path) -> None:
    ring, before = load_keys(path), path.read_text()
    key = create_key(path, "orders", Scope.SERVER)
    text = path.read_text()
    assert key not in text
    assert text == f'{before}api_keys:\n  orders: {{hash: "{sha256(key.encode()).hexdigest()}", scope: server}}\n'
    assert load_keys(path) == ring
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["keys.yaml"]


def test_what_a_key_is_for_is_read_back(path: Path) -> None:
    key = create_key(path, "app", Scope.STOREFRONT, placements=["home-top", "cart: 2"], rate=2.5, burst=10)
    create_key(path, "plain", Scope.STOREFRONT, rate=7)
    app, plain = load_api_keys(path)["app"], load_api_keys(path)["plain"]
    assert (app.hash, app.scope) == (sha256(key.encode()).digest(), Scope.STOREFRONT)
    assert (app.placements, app.rate, app.burst) == ({"home-top", "cart: 2"}, 2.5, 10)
    assert (plain.placements, plain.rate, plain.burst) == (None, 7, 7)


def test_a_revoked_key_keeps_its_line_and_its_name(path: Path) -> None:
    create_key(path, "app", Scope.STOREFRONT, placements=["home-top"], rate=2)
    create_key(path, "app-2", Scope.STOREFRONT)
    before = load_api_keys(path)
    revoke_key(path, "app")
    revoke_key(path, "app")
    after = load_api_keys(path)
    assert {name: key.is_revoked for name, key in after.items()} == {"app": True, "app-2": False}
    assert (after["app"].hash, after["app"].placements) == (before["app"].hash, before["app"].placements)
    with pytest.raises(InvalidInput, match="already"):
        create_key(path, "app", Scope.STOREFRONT)
    with pytest.raises(NotFound, match="did you mean 'app-2'"):
        revoke_key(path, "ap-2")


def test_what_is_not_a_name_or_is_taken_is_refused(path: Path) -> None:
    create_key(path, "orders", Scope.SERVER)
    before = path.read_text()
    for name, words in (("orders", "already"), ("a b", "is no name"), ("", "is no name"), ('x: "', "is no name")):
        with pytest.raises(InvalidInput, match=words):
            create_key(path, name, Scope.SERVER)
    assert path.read_text() == before


def test_a_file_written_in_another_way_is_left_alone_and_what_to_write_is_shown(path: Path) -> None:
    empty = path.read_text()
    path.write_text(empty + "api_keys: {}\n")
    with pytest.raises(InvalidInput, match=r'put this under api_keys:\n  app: \{hash: "[0-9a-f]{64}", scope: admin\}'):
        create_key(path, "app", Scope.ADMIN)
    path.write_text(f'{empty}api_keys:\n  app:\n    hash: "{"ab" * 32}"\n    scope: admin\n')
    before = path.read_text()
    with pytest.raises(InvalidInput, match="write `revoked: true` into the entry app"):
        revoke_key(path, "app")
    assert path.read_text() == before


def test_of_two_that_make_keys_at_once_one_waits_and_both_keys_are_kept(path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        others = []

        def random(n: int) -> bytes:
            others.append(pool.submit(create_key, path, "second", Scope.SERVER))
            assert not wait(others, timeout=0.3).done
            return os.urandom(n)

        create_key(path, "first", Scope.SERVER, random=random)
        others[0].result(timeout=30)
    assert load_api_keys(path).keys() == {"first", "second"}


HASH = f'"{"5e" * 32}"'


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ("api_keys: x", "must be names"),
        ("api_keys:\n  - x", "must be names"),
        ("api_keys: {a: 1}", "api_keys.a: must be {hash: …, scope: …}"),
        ('api_keys: {a: {hash: "00", scope: admin}}', "api_keys.a.hash: must be a SHA-256"),
        ("api_keys: {a: {scope: admin}}", "api_keys.a.hash: must be a SHA-256"),
        (f"api_keys: {{a: {{hash: {HASH}}}}}", "api_keys.a.scope: must be one of storefront, server, admin"),
        (f"api_keys: {{a: {{hash: {HASH}, scope: root}}}}", "api_keys.a.scope: must be one of"),
        (f"api_keys: {{a: {{hash: {HASH}, scope: admin, rat: 1}}}}", "api_keys.a: unknown key; did you mean 'rate'?"),
        (f"api_keys: {{a: {{hash: {HASH}, scope: admin, placements: [x]}}}}", "only a key of scope storefront"),
        (f"api_keys: {{a: {{hash: {HASH}, scope: storefront, placements: []}}}}", "must be a list of names"),
        (f"api_keys: {{a: {{hash: {HASH}, scope: admin, rate: 0}}}}", "api_keys.a.rate: must be a number of requests"),
        (f"api_keys: {{a: {{hash: {HASH}, scope: admin, rate: true}}}}", "api_keys.a.rate: must be a number"),
        (f"api_keys: {{a: {{hash: {HASH}, scope: admin, burst: 2}}}}", "api_keys.a.burst: needs a rate"),
        (f"api_keys: {{a: {{hash: {HASH}, scope: admin, revoked: 2}}}}", "api_keys.a.revoked: must be true or false"),
        (f"api_keys: {{a b: {{hash: {HASH}, scope: admin}}}}", "a key's name has"),
        (f"api_keys: {{a: {{hash: {HASH}, scope: admin}}, b: {{hash: {HASH}, scope: server}}}}", "is that of a too"),
        ("server_keys: {}", "write api_keys"),
    ],
)
def test_keys_of_the_wrong_shape_are_refused_without_a_hash(path: Path, section: str, fault: str) -> None:
    path.write_text(f"{path.read_text()}{section}\n")
    with pytest.raises(InvalidConfig) as refused:
        load_keys(path)
    assert fault in str(refused.value)
    assert "5e5e" not in str(refused.value)
