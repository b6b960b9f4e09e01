"""Every command of the README, run as it stands there by somebody who reads from top to bottom.

Only these things differ: the ports, for 8080 may be taken; the log to replay, which is generated and small; and what
`make test`, `check` and `bench` would do, for these tests are part of the first, CI runs the second, and the third
takes minutes: of them only the targets are looked up.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from omakase import models
from omakase.accounts import read_account
from omakase.adapters import open_model_store
from omakase.deployment import Deployment
from omakase.replay.generate import generate

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS: list[str] = re.findall(r"^```sh\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
PATIENCE_S = 120.0

MAKE = [line for block in BLOCKS for line in block.splitlines() if line.startswith("make ")]
UP = next(block for block in BLOCKS if block.startswith("omakase up"))
REPLAY = next(block for block in BLOCKS if block.startswith("omakase replay"))
SHOP = [block for block in BLOCKS if block not in (UP, REPLAY) and not block.startswith("make ")]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("curl") is None, reason="the README's requests need curl: install it"),
    pytest.mark.skipif(shutil.which("make") is None, reason="the README's first command needs make: install it"),
]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def until(is_true: Callable[[], bool], what: str) -> None:
    """Wait for a condition, not for a time."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline, f"still waiting until {what}"
        threading.Event().wait(0.05)


@dataclass
class Reader:
    """Somebody in a folder with the examples, at a shell."""

    folder: Path
    port: int
    tracking_port: int

    def runs(self, command: str) -> str:
        """What a command prints. It must succeed."""
        done = subprocess.run(
            self._shell(command), cwd=self.folder, env=self._environ, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def keeps_running(self, command: str) -> Iterator[None]:
        """`omakase up` in another terminal, until Ctrl-C."""
        ports = f" --port {self.port} --tracking-port {self.tracking_port}"
        with (self.folder / "up.txt").open("w") as told:
            up = subprocess.Popen(
                self._shell(f"exec {command.strip()}{ports}"), cwd=self.folder, env=self._environ, stdout=told
            )
        try:
            until(lambda: up.poll() is not None or self._is_ready(), "omakase is ready")
            assert up.poll() is None, "omakase up has ended"
            yield
        finally:
            up.terminate()
            code = up.wait(PATIENCE_S)
        assert code == 0
        assert "omakase is ready" in (self.folder / "up.txt").read_text()

    def generation(self) -> int:
        """The newest generation of the model `home`; 0 before the first."""
        store = open_model_store(self.deployment.uris.models)
        found = models.keys(store)
        return models.newest(store, found[0]).generation if found else 0

    def is_quiet(self) -> bool:
        """Whether the trainer has read all and no session is open."""
        account = read_account(self.deployment)
        return not account.faults() and not account.unread and account.events.open == 0

    @property
    def deployment(self) -> Deployment:
        return Deployment(self.folder / "examples" / "storefront.yaml", self.folder / "data")

    @property
    def _environ(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def _shell(self, command: str) -> list[str]:
        for theirs, ours in ((8080, self.port), (8081, self.tracking_port)):
            command = command.replace(f"localhost:{theirs}", f"localhost:{ours}")
        return ["sh", "-eu", "-c", command]

    def _is_ready(self) -> bool:
        try:
            for port in (self.port, self.tracking_port):
                urllib.request.urlopen(f"http://localhost:{port}/readyz", timeout=1).close()
        except OSError:
            return False
        return "omakase is ready" in (self.folder / "up.txt").read_text()


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    if not (Path(sys.executable).parent / "omakase").exists():
        pytest.skip("the command omakase is not installed beside this Python: pip install -e .")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return Reader(tmp_path, free_port(), free_port())


def shape(value: Any) -> Any:
    """What is in an answer, whatever it says: the keys, all the way down."""
    if isinstance(value, dict):
        return {key: shape(element) for key, element in value.items()}
    return [shape(element) for element in value[:1]] if isinstance(value, list) else None


def test_a_reader_gets_from_the_first_command_to_a_rollback(reader: Reader) -> None:
    online = [block for block in SHOP if "localhost" in block]
    # The one request of the first screen, the loop over visitors, an order, a slate explained.
    asks, visits, order, explained = online
    before = SHOP[: SHOP.index(visits)]
    after = SHOP[SHOP.index(visits) + 1 :]
    for block in before:
        if block is not asks:
            reader.runs(block)
    with reader.keeps_running(UP):
        (told,) = re.findall(r"^```json\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
        answer = json.loads(reader.runs(asks))
        assert shape(answer) == shape(json.loads(told))
        assert len(answer["items"]) == 2
        for generation in (1, 2):  # "Run the loop again for another generation"
            assert reader.runs(visits) == '{"accepted":2,"rejected":[]}' * 8
            until(lambda wanted=generation: reader.generation() >= wanted, f"generation {generation} is published")  # type: ignore[misc]
        until(reader.is_quiet, "everything is learnt")
        account = read_account(reader.deployment)
        # Eight visitors, two events each, two rounds: every one had its 202.
        assert account.accepted == account.events.total == sum(account.events.ends.values()) == 32
        assert account.recorded == account.deliveries.total
        printed = "".join(reader.runs(block) for block in after if block not in (order, explained))
        assert reader.runs(order) == '{"accepted":1,"rejected":[]}'
        answer = json.loads(reader.runs(explained))
        assert answer["excluded"]["items"]
        assert all(item["explanation"]["reason"] for item in answer["items"])
    for words in ("taken by tracking", "kept generations: ", "learning is frozen", "learns again", "dead letter"):
        assert words in printed


def test_the_replay_reports_on_a_log_in_that_format(reader: Reader) -> None:
    log, items = re.findall(r"\S+\.csv\S*", REPLAY)
    made = generate(reader.folder, 64, seed=1, base_rate=0.1)
    made.log.rename(reader.folder / log)
    made.items.rename(reader.folder / items)
    printed = reader.runs(REPLAY)
    for words in ("64 rows", "IPS", "SNIPS", "rank policies"):
        assert words in printed
    assert "accounting:" not in printed


def test_make_demo_runs_and_balances(reader: Reader) -> None:
    assert MAKE[0] == "make demo"
    if subprocess.run(["make", "-q", ".venv/.runtime"], cwd=ROOT, capture_output=True).returncode != 0:
        pytest.skip("the environment was not made by make, and this test installs nothing: make test runs it")
    printed = reader.runs(f"cd {ROOT} && {MAKE[0]} ARGS='--seconds 3'")
    assert "The accounting balances to the event." in printed


@pytest.mark.parametrize("line", MAKE)
def test_every_make_target_exists(line: str) -> None:
    command = line.partition("#")[0].split()
    done = subprocess.run([*command, "--dry-run"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
