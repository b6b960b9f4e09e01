"""Server keys: made once, kept as hashes, known without a restart."""

from __future__ import annotations

import logging
import os
from hashlib import sha256
from pathlib import Path

import pytest

from omakase.core.errors import InvalidConfig, InvalidInput
from omakase.keys import create_keys, load_keys
from omakase.server_keys import ServerKeys, add_server_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_keys(tmp_path / "keys.yaml")
    return tmp_path / "keys.yaml"


def test_a_key_is_known_by_its_name_and_stored_as_a_hash_alone(path: Path) -> None:
    ring = load_keys(path)
    orders, stock = add_server_key(path, "orders"), add_server_key(path, "stock")
    keys = ServerKeys(path)
    assert [keys.owner(key) for key in (orders, stock, orders[:-1], "", orders + "x")] == [
        "orders",
        "stock",
        None,
        None,
        None,
    ]
    text = path.read_text()
    assert orders not in text
    assert f'orders: "{sha256(orders.encode()).hexdigest()}"' in text
    assert load_keys(path) == ring
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["keys.yaml"]


def test_a_running_service_learns_of_new_and_removed_keys(path: Path) -> None:
    keys = ServerKeys(path)
    assert keys.is_empty()
    key = add_server_key(path, "orders")
    assert keys.owner(key) == "orders"
    path.write_text(path.read_text().partition("server_keys")[0])
    os.utime(path, ns=(1, 1))
    assert keys.is_empty()


def test_a_file_that_cannot_be_read_changes_nothing_and_is_told_of_once(path: Path, caplog) -> None:
    key = add_server_key(path, "orders")
    keys = ServerKeys(path)
    path.write_text("nonsense: true\n")
    os.utime(path, ns=(1, 1))
    with caplog.at_level(logging.ERROR):
        assert [keys.owner(key), keys.owner(key)] == ["orders", "orders"]
    assert len(caplog.records) == 1


def test_what_is_not_a_name_or_is_taken_is_refused(path: Path) -> None:
    add_server_key(path, "orders")
    before = path.read_text()
    for name, words in (("orders", "already"), ("a b", "is no name"), ("", "is no name"), ('x: "', "is no name")):
        with pytest.raises(InvalidInput, match=words):
            add_server_key(path, name)
    assert path.read_text() == before


def test_a_file_written_in_another_way_is_left_alone_and_the_line_to_add_is_shown(path: Path) -> None:
    path.write_text(path.read_text() + "server_keys: {}\n")
    before = path.read_text()
    with pytest.raises(InvalidInput, match=r'put this under server_keys:\n  orders: "[0-9a-f]{64}"'):
        add_server_key(path, "orders")
    assert path.read_text() == before


@pytest.mark.parametrize("section", ["server_keys: x", 'server_keys: {a: "00"}', "server_keys:\n  - x"])
def test_server_keys_of_the_wrong_shape_are_refused(path: Path, section: str) -> None:
    path.write_text(f"{path.read_text()}{section}\n")
    with pytest.raises(InvalidConfig, match="server_keys"):
        load_keys(path)
