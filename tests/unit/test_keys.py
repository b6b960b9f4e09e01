"""The key file: made once, read by all, secret."""

from __future__ import annotations

import json
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from omakase.core.errors import InvalidConfig, Unavailable
from omakase.core.ids import new_request_id
from omakase.keys import create_keys, load_keys

SECRET = "5ec2e7" * 6
VALID = f'signing_key: 2\nkeys:\n  1: "{SECRET}"\n  2: "{SECRET[::-1]}"\npseudonym_key: "{SECRET}"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "keys.yaml"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch(mode)
    path.write_text(text)
    path.chmod(mode)
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(InvalidConfig) as refused:
        load_keys(path)
    assert SECRET[:12] not in str(refused.value)
    return [fault.removeprefix(f"{path}:") for fault in refused.value.faults]


def test_created_keys_are_read_back_and_only_the_owner_may_read_them(path: Path) -> None:
    created = create_keys(path)
    assert load_keys(path) == created
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["keys.yaml"]


def test_creating_again_keeps_what_is_there(path: Path) -> None:
    assert create_keys(path) == create_keys(path)


def test_the_keys_come_from_the_given_randomness_and_differ_from_each_other(path: Path) -> None:
    numbers = iter(range(256))
    ring = create_keys(path, lambda n: bytes([next(numbers)]) * n)
    assert ring.keys == {1: bytes(32)}
    assert ring.pseudonym_key == b"\x01" * 32


def test_of_many_threads_one_wins_and_all_read_the_same(path: Path) -> None:
    start = threading.Barrier(16)

    def create(_: int) -> bytes:
        start.wait(timeout=30)
        return create_keys(path).pseudonym_key

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(create, range(16)))) == 1
    assert [file.name for file in path.parent.iterdir()] == ["keys.yaml"]


def _create(path: Path) -> bytes:
    return create_keys(path).pseudonym_key


def test_of_several_processes_one_wins_and_all_read_the_same(path: Path) -> None:
    with get_context("spawn").Pool(2) as pool:
        assert len(set(pool.map(_create, [path] * 4, chunksize=1))) == 1


def test_yaml_and_json_are_read_alike(path: Path) -> None:
    as_yaml = load_keys(write(path, VALID))
    as_json = {"signing_key": 2, "keys": {"1": SECRET, "2": SECRET[::-1]}, "pseudonym_key": SECRET}
    assert load_keys(write(path.with_suffix(".json"), json.dumps(as_json, indent="\t").replace("\t", "  "))) == as_yaml
    assert as_yaml.signing_key == 2
    assert as_yaml.verify(as_yaml.delivery_id(new_request_id(1e9, bytes), 1), 1e9, 60.0)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (VALID.replace("signing_key: 2", "signing_key: 3"), "signing key 3 is not in the ring [1, 2]"),
        (VALID.replace("signing_key: 2", "signing_key: two"), "1: signing_key: must be the number of one of the keys"),
        (VALID.replace("  1:", "  300:"), "3: keys: a key's name is a number from 0 to 255"),
        (VALID.replace("  1:", "  2:"), "4: cannot be read, or is given twice"),
        (VALID.replace("  1:", "  01:"), "3: keys: a key's name is a number from 0 to 255"),
        (
            VALID.replace(f'  1: "{SECRET}"', '  1: "0abc"'),
            "3: keys.1: must be a text, in quotes, of hexadecimal digits",
        ),
        (VALID.replace("5ec2e7", "5ec2eg", 1), "3: keys.1: must be a text, in quotes, of hexadecimal digits"),
        (VALID.replace("pseudonym_key", "pseudonimkey"), "1: pseudonym_key: is missing"),
        (VALID.replace("pseudonym_key", "pseudonimkey"), "5: unknown key; did you mean 'pseudonym_key'?"),
        ("", "1: keys: is missing"),
        ("- 1", "1: keys: is missing"),
        (f"{VALID}[", "6: is neither YAML nor JSON"),
        (f"{SECRET}: {{", "1: is neither YAML nor JSON"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line_and_without_a_key(path: Path, text: str, fault: str) -> None:
    assert any(found.strip().startswith(fault) for found in faults(write(path, text))), faults(path)


def test_a_missing_file_is_refused(path: Path) -> None:
    assert faults(path) == [" cannot be read: No such file or directory"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_keys_that_others_may_write_are_refused(path: Path, mode: int) -> None:
    assert "chmod 600" in faults(write(path, VALID, mode))[0]


def test_keys_that_everybody_may_read_are_warned_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_keys(write(path, VALID, 0o600))
        assert not caplog.records
        load_keys(write(path, VALID, 0o644))
    assert "chmod 600" in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere: run the tests as another user")
def test_keys_that_cannot_be_made_are_unavailable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Unavailable, match="cannot be made"):
        create_keys(tmp_path / "keys.yaml")


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be made"):
        create_keys(tmp_path / "file" / "keys.yaml")
