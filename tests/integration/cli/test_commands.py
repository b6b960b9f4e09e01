"""The command line: help, validation, and what every command refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from omakase import __version__
from omakase.adapters.local.database import Database
from omakase.cli import app
from omakase.supervisor import Supervisor

EXAMPLES = Path(__file__).parents[3] / "examples"


def commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """The paths of all commands that are no groups."""
    if not hasattr(command, "commands"):
        yield path
        return
    for name, below in command.commands.items():
        yield from commands(below, *path, name)


COMMANDS = list(commands(typer.main.get_command(app)))


# Help


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example_of_itself(omakase, command):
    said = omakase(*command, "--help")
    assert said.code == 0
    assert f"Example: omakase {' '.join(command)}" in re.sub(r"\s+", " ", said.out)


def test_the_commands_are_those_of_the_documentation(omakase):
    documented = "up demo replay validate follow batch items-import contexts-import events-stats users-forget"
    documented += " events-dead-letters-list events-dead-letters-show events-dead-letters-replay"
    documented += " models-list models-show models-rollback models-resume models-rebuild models-warm-start"
    documented += " keys-create keys-list keys-revoke cloud-init"
    documented += " experiments-list experiments-assign experiments-override experiments-results"
    assert {"-".join(command) for command in COMMANDS} == set(documented.split())
    assert omakase("--version").out == f"omakase {__version__}\n"


# omakase validate


def test_a_valid_configuration_is_described(omakase):
    said = omakase("validate", EXAMPLES / "storefront.yaml")
    assert said.code == 0
    assert "2 placements, 2 models" in said.out
    assert "model home: schema" in said.out


def test_every_fault_of_a_configuration_is_printed_with_its_line(omakase, tmp_path):
    text = (EXAMPLES / "storefront.yaml").read_text()
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(
        text.replace("    slots: 3 ", "    slotz: 3 ")
        .replace("share: 2000", "share: 2001")
        .replace("type: uniform", "type: unifrom")
        .replace("batch_size: 500", "batch_size: many")
    )
    said = omakase("validate", faulty)
    assert (said.code, said.out) == (2, "")
    faults = said.err.splitlines()
    assert all(re.match(rf"error: {re.escape(str(faulty))}:\d+: ", fault) for fault in faults), faults
    for word in ("slots", "uniform", "batch_size"):
        assert sum(word in fault for fault in faults) == 1, faults


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"", b"[1, 2]", b"a: &a [*a]"])
def test_a_file_that_is_no_configuration_is_refused_in_words(omakase, tmp_path, content):
    (tmp_path / "bad.yaml").write_bytes(content)
    said = omakase("validate", tmp_path / "bad.yaml")
    assert said.code == 2
    assert said.err.startswith("error: ")


# Wherever a data directory is named


@pytest.mark.parametrize("command", [("events", "stats"), ("models", "list"), ("models", "show", "home")])
def test_looking_into_a_directory_that_is_not_there_is_an_error_and_does_not_make_it(omakase, tmp_path, command):
    said = omakase(*command, "--data-dir", tmp_path / "slip")
    assert said.code == 2
    assert "does not exist" in said.err
    assert not (tmp_path / "slip").exists()


@pytest.mark.parametrize("name", ["bus", "training", "deliveries"])
def test_a_corrupt_database_is_an_error_that_names_it(omakase, deployment, name):
    (deployment.root / f"{name}.db").write_bytes(b"rotten" * 1000)
    said = omakase("events", "stats", "--data-dir", deployment.data_dir)
    assert said.code == 3
    assert f"{name}.db: file is not a database" in said.err


def test_a_data_directory_that_is_a_file_is_refused(omakase, tmp_path):
    (tmp_path / "file").write_text("")
    said = omakase("items", "import", EXAMPLES / "items.ndjson", "--data-dir", tmp_path / "file")
    assert said.code == 2
    assert "is a file" in said.err


def test_a_second_up_on_a_data_directory_is_refused_in_words(omakase, deployment):
    class Idle(Supervisor):
        def _programs(self) -> list[Any]:
            return []

    where = ("--config", deployment.config, "--data-dir", deployment.data_dir, "--port", 0, "--tracking-port", 0)
    with Idle(deployment):
        said = omakase("up", *where)
    assert said.code == 3
    assert f"error: another omakase runs on {deployment.root}: stop it, or choose another --data-dir" in said.err


def test_an_error_of_the_machine_is_a_message(omakase, deployment, monkeypatch):
    monkeypatch.setattr(Database, "__init__", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    said = omakase("events", "stats", "--data-dir", deployment.data_dir)
    assert said.code == 3
    assert "error: [Errno 28] No space left on device" in said.err


@pytest.mark.parametrize(
    "option",
    [
        ("--durability", "tape"),
        ("--port", "70000"),
        ("--port", "http"),
        ("--cors-origins", "shop.example"),
        ("--cors-origins", "https://shop.example/path"),
        ("--tls-certificate", "only.pem"),
    ],
)
def test_options_of_up_that_do_not_fit_are_refused(omakase, deployment, option):
    said = omakase("up", "--config", deployment.config, "--data-dir", deployment.data_dir, *option)
    assert said.code == 2
    assert option[0] in said.err
