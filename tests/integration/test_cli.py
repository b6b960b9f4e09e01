"""The command line, over real files and stores."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main

from omakase import __version__, models
from omakase.adapters import (
    open_catalogue_store,
    open_context_store,
    open_delivery_store,
    open_event_log,
    open_model_store,
    open_training_state,
)
from omakase.adapters.local.database import Database
from omakase.cli import app, main
from omakase.core.accounting import DELIVERIES, EVENTS, RECEIVED, SERVED, Tally
from omakase.core.posterior import Statistics
from omakase.keys import load_keys
from omakase.ports.delivery_store import Parked
from omakase.ports.event_bus import Message
from omakase.ports.model_store import ABSENT, ModelKey
from omakase.ports.training_state import Progress, Tick
from omakase.snapshots import Snapshot, encode_snapshot
from omakase.supervisor import Deployment, Supervisor

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = ModelKey("home/abc")


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Omakase = Callable[..., Said]


@pytest.fixture
def omakase(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Omakase]:
    """Run a command as the shell does. It must not end in a traceback: any but SystemExit fails the test."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("OMAKASE_DATA_DIR", raising=False)

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["omakase", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Said(int(ended.value.code or 0), said.out, said.err)

    # `up` sets up logging for its process, which is ours here.
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield run
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    (tmp_path / "data").mkdir()
    return Deployment(EXAMPLES / "storefront.yaml", tmp_path / "data")


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
    documented = "up demo replay validate items-import contexts-import events-stats"
    documented += " models-list models-show models-rollback models-resume"
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


# omakase items import, omakase contexts import


def test_items_are_imported_and_imported_again(omakase, deployment):
    for generation in (1, 2):
        said = omakase("items", "import", EXAMPLES / "items.ndjson", "--data-dir", deployment.data_dir)
        assert (said.code, said.out) == (0, f"12 items imported, catalogue generation {generation}\n")
    assert len(open_catalogue_store(deployment.uris.catalogue).load().items) == 12


def test_contexts_are_imported_under_pseudonyms_only(omakase, deployment):
    said = omakase("contexts", "import", EXAMPLES / "contexts.ndjson", "--data-dir", deployment.data_dir)
    assert (said.code, said.out) == (0, "5 contexts imported\n")
    first = json.loads((EXAMPLES / "contexts.ndjson").read_text().splitlines()[0])
    person = load_keys(deployment.keys).pseudonym("user", first["user_id"])
    facts = open_context_store(deployment.uris.contexts).get(person)
    assert facts == {name: float(v) if isinstance(v, int) else v for name, v in first["context"].items()}
    assert first["user_id"].encode() not in b"".join(path.read_bytes() for path in deployment.root.glob("contexts.db*"))


def test_a_text_may_hold_any_line_separator_but_the_newline(omakase, deployment, tmp_path):
    names = [f"a{character}b" for character in "\u2028\u2029\x85\x0b\x0c\x1c"]
    lines = [json.dumps({"item_id": f"i{i}", "metadata": {"name": name}}) for i, name in enumerate(names)]
    raw = [json.dumps({"item_id": "u", "metadata": {"name": "a\u2028b\x85c"}}, ensure_ascii=False)]
    (tmp_path / "items").write_bytes("\ufeff".encode() + "\r\n".join([*lines, "", *raw, ""]).encode())
    said = omakase("items", "import", tmp_path / "items", "--data-dir", deployment.data_dir)
    assert (said.code, said.err) == (0, "")
    items = open_catalogue_store(deployment.uris.catalogue).load().items
    assert [item.metadata["name"] for item in items] == [*names, "a\u2028b\x85c"]


BAD_ITEMS = {
    "{": "Expecting property name",
    "[]": "a line must be one JSON object",
    "null": "a line must be one JSON object",
    "{}": "`item_id` must be text",
    '{"item_id": 7}': "`item_id` must be text",
    '{"item_id": ""}': "1 to 256 characters",
    '{"item_id": "\\ud800"}': "not Unicode",
    '{"item_id": "a", "price": 3}': "unknown keys ['price']; facts about an item go into `metadata`",
    '{"item_id": "a", "metadata": []}': "`metadata` must be an object",
    '{"item_id": "a", "metadata": {"x": null}}': "'x' must be text, a number",
    '{"item_id": "a", "metadata": {"x": NaN}}': "'x' must be a finite number",
    '{"item_id": "a", "metadata": {"x": 1%s}}' % ("0" * 400): "'x' must be a finite number",
    '{"item_id": "a", "value": "9"}': "`value` must be a number or left out",
    '{"item_id": "a", "value": true}': "`value` must be a number or left out",
    '{"item_id": "a", "value": Infinity}': "value must be a finite number",
    '{"item_id": "a", "value": 1%s}' % ("0" * 400): "value must be a finite number",
    '{"item_id": "a", "value": 1%s}' % ("0" * 5000): "4300 digits",
    '{"item_id": "a", "in_stock": "yes"}': "`in_stock` and `hidden` must be true or false",
    '{"item_id": "a", "metadata": {"x": %s}}' % ("[" * 100_000): "is nested too deeply",
}
BAD_CONTEXTS = {
    '{"user_id": "u"}': "`context` must be an object",
    '{"user_id": "", "context": {}}': "`user_id` must be text of 1 to 256 characters",
    '{"user_id": 5, "context": {}}': "`user_id` must be text of 1 to 256 characters",
    '{"user_id": "u", "context": {}, "age": 3}': "unknown keys ['age']; facts about a person go into `context`",
    '{"user_id": "u", "context": {"x": {"y": 1}}}': "'x' must be text, a number",
}


@pytest.mark.parametrize("kind", ["items", "contexts"])
def test_a_line_that_does_not_fit_is_named_and_nothing_is_imported(omakase, deployment, tmp_path, kind):
    good = {"items": '{"item_id": "good"}', "contexts": '{"user_id": "good", "context": {}}'}[kind]
    for number, (bad, reason) in enumerate({"items": BAD_ITEMS, "contexts": BAD_CONTEXTS}[kind].items()):
        file = tmp_path / f"bad-{number}.ndjson"
        file.write_text(f"{good}\n\n{bad}\n{good}\n")
        said = omakase(kind, "import", file, "--data-dir", deployment.data_dir)
        assert said.code == 2, bad[:80]
        assert said.err.startswith(f"error: {file}:3: "), said.err[:200]
        assert reason in said.err, said.err[:200]
    assert open_catalogue_store(deployment.uris.catalogue).load().items == ()


def test_a_file_that_is_not_utf_8_is_refused(omakase, deployment, tmp_path):
    (tmp_path / "latin").write_bytes('{"item_id": "café"}'.encode("latin-1"))
    said = omakase("items", "import", tmp_path / "latin", "--data-dir", deployment.data_dir)
    assert said.code == 2
    assert "is not UTF-8" in said.err


# omakase models


def learn(deployment: Deployment, clicks: int, of: int, key: ModelKey = KEY) -> None:
    store = open_model_store(deployment.uris.models)
    outcome = np.array([1.0] * clicks + [0.0] * (of - clicks))
    x = np.random.default_rng(2).normal(size=(of, 3)) + np.array([1.0, 0.0, 0.0])
    sums = Statistics.of(x, {"click": outcome, "reward": outcome}, np.ones(of))
    body = encode_snapshot(Snapshot(*key.split("/"), sums, {"embedded": of}, 1_760_000_000.0, reason="learnt"))
    store.publish(key, body, if_generation=store.generation(key))


def test_models_are_listed(omakase, deployment):
    where = ("--data-dir", deployment.data_dir)
    assert "no model was published yet" in omakase("models", "list", *where).out
    assert omakase("models", "list", "--json", *where).json() == []
    learn(deployment, 5, of=100)
    learn(deployment, 1, of=10, key=ModelKey("basket/x"))
    store = open_model_store(deployment.uris.models)
    store.publish(ModelKey("popularity/home-top"), b"[]", if_generation=ABSENT)
    basket, home = omakase("models", "list", "--json", *where).json()
    assert (basket["model"], home["model"]) == ("basket/x", "home/abc")
    assert (home["generation"], home["examples"], home["click_rate"], home["frozen"]) == (1, 100, 0.05, False)
    assert home["published_at"] == "2025-10-09T08:53:20+00:00"
    table = omakase("models", "list", *where).out
    assert re.search(r"home/abc .* 1 .* 100 .* 0.05 .* 09 Oct 08:53:20 .* learning: learnt", table)


def test_a_model_is_shown_with_its_surest_weights_first(omakase, deployment):
    learn(deployment, 80, of=100)
    where = ("--data-dir", deployment.data_dir)
    shown = omakase("models", "show", "home", "--json", *where).json()
    assert (shown["history"], shown["sequences"]) == ([1], {"embedded": 100})
    sureness = [abs(weight["mean"]) / weight["deviation"] for weight in shown["weights"]]
    assert sureness == sorted(sureness, reverse=True)
    assert shown["weights"][0]["coordinate"] == 0
    assert "kept generations: 1" in omakase("models", "show", "home/abc", *where).out
    assert omakase("models", "show", "home", "--prior-precision", "-1000", *where).code == 3


def test_a_model_is_rolled_back_and_resumed(omakase, deployment):
    where = ("--data-dir", deployment.data_dir)
    for of in (10, 20, 30):
        learn(deployment, 1, of=of)
    said = omakase("models", "rollback", "home", "--to", "1", *where)
    assert (said.code, said.out) == (0, "home/abc is now generation 4 (rollback to 1); learning is frozen\n")
    found = models.newest(open_model_store(deployment.uris.models), KEY).snapshot
    assert (found.frozen, found.statistics.examples, found.sequences) == (True, 10, {"embedded": 30})
    assert "frozen: rollback to 1" in omakase("models", "list", *where).out
    said = omakase("models", "resume", "home", *where)
    assert (said.code, said.out) == (0, "home/abc learns again from generation 5\n")
    said = omakase("models", "rollback", "home", *where)
    assert (said.code, "(rollback to 4)" in said.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("show", "hom"), 2, "no model 'hom'; known: home/abc"),
        (("rollback", "home"), 2, "home/abc has no generation before 1"),
        (("rollback", "home", "--to", "7"), 2, "home/abc keeps no generation 7; kept: 1"),
        (("resume", "basket"), 2, "no model 'basket'"),
    ],
)
def test_what_cannot_be_done_to_a_model_is_said_in_words(omakase, deployment, arguments, code, words):
    learn(deployment, 1, of=10)
    said = omakase("models", *arguments, "--data-dir", deployment.data_dir)
    assert said.code == code
    assert words in said.err


def test_a_corrupt_model_is_an_error_that_names_its_file(omakase, deployment):
    learn(deployment, 1, of=10)
    (snapshot,) = (deployment.root / "models").glob("*/1.snapshot")
    snapshot.write_bytes(b"rotten")
    said = omakase("models", "show", "home", "--data-dir", deployment.data_dir)
    assert said.code == 3
    assert "1.snapshot is not what was written" in said.err


# omakase events stats


def account_for(deployment: Deployment, served: int, received: int, parked: int = 0, lost: int = 0) -> None:
    """Tracking published `served` deliveries and `received` events; the trainer read all and counted all but `lost`."""
    bus, store = open_event_log(deployment.uris.bus), open_delivery_store(deployment.uris.deliveries)
    bus.publish([Message(b"d" * 16, 1.0, b"", "deliveries", served)])
    bus.publish([Message(n.to_bytes(16, "big"), 1.0, b"") for n in range(received + lost)])
    store.park([Parked(n.to_bytes(16, "big"), b"r" * 16, 1.0, b"") for n in range(parked)])
    tally = Tally({(DELIVERIES, SERVED): served, (DELIVERIES, "learnt"): served})
    tally.update({(EVENTS, RECEIVED): received, (EVENTS, "used"): received})
    open_training_state(deployment.uris.training).commit(Tick(Progress(1, bus.last_offset()), {}, tally))


def test_the_account_is_printed(omakase, deployment):
    account_for(deployment, served=6, received=4, parked=2)
    where = ("--data-dir", deployment.data_dir)
    said = omakase("events", "stats", "--json", *where)
    assert said.code == 0
    account = said.json()
    assert (account["recorded"], account["accepted"], account["parked"], account["faults"]) == (6, 6, 2, [])
    assert account["deliveries"] == {"total": 6, "ends": {"learnt": 6}, "open": 0}
    table = omakase("events", "stats", *where).out
    assert re.search(r"taken by tracking .* 6 .* 6 ", table)
    assert re.search(r"waiting for their delivery .* 2 ", table)


def test_an_account_that_does_not_balance_is_exit_code_1_and_says_where(omakase, deployment):
    account_for(deployment, served=6, received=4, lost=1)
    where = ("--data-dir", deployment.data_dir)
    said = omakase("events", "stats", "--json", *where)
    assert said.code == 1
    fault = "tracking accepted 5 events, the trainer read 4 and 0 wait for their delivery"
    assert said.json()["faults"] == [fault]
    said = omakase("events", "stats", *where)
    assert (said.code, f"not balanced: {fault}" in said.out) == (1, True)


def test_what_the_trainer_has_not_read_yet_is_no_fault(omakase, deployment):
    account_for(deployment, served=6, received=4)
    open_event_log(deployment.uris.bus).publish([Message(b"late" * 4, 1.0, b"")])
    where = ("--data-dir", deployment.data_dir)
    said = omakase("events", "stats", "--json", *where)
    assert (said.code, said.json()["unread"], said.json()["accepted"]) == (0, 1, 5)
    assert re.search(r"on the way to the trainer .* 1 message", omakase("events", "stats", *where).out)


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


@pytest.mark.parametrize("option", [("--durability", "tape"), ("--port", "70000"), ("--port", "http")])
def test_options_of_up_that_do_not_fit_are_refused(omakase, deployment, option):
    said = omakase("up", "--config", deployment.config, "--data-dir", deployment.data_dir, *option)
    assert said.code == 2
    assert option[0] in said.err
