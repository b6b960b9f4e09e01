"""The supervisor while the configuration changes: over small programs, then over the real services."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from omakase.adapters import open_catalogue_store
from omakase.core.catalogue import Item
from omakase.deployment import Deployment
from omakase.supervisor import Supervisor, supervisor
from omakase.supervisor.child import Child, Program
from omakase.supervisor.programs import recommender_program
from tests.fault.matrix.wire import post
from tests.integration.stage import until
from tests.integration.test_supervisor import PRODUCT

TWO = PRODUCT.replace(
    "learnt: {share: 10000, policy: thompson, model: clicks}",
    "learnt: {share: 5000, policy: thompson, model: clicks}\n"
    "      other: {share: 5000, policy: chance, recommender: second}",
).replace("policies:", "recommenders: {main: {}, second: {}}\npolicies:\n  chance: {type: uniform}")
WAITS = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: exit(0))\nprint('waiting', flush=True)\nsignal.pause()"

STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('waiting', flush=True)\n"
STUBBORN += "while True: signal.pause()"


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    config = tmp_path / "product.yaml"
    config.write_text(PRODUCT)
    return Deployment(config, tmp_path / "data", config_poll_s=0.02)


# Over small programs


class Small(Supervisor):
    """The processes of the real one, each a program that waits."""

    def _programs(self) -> list[Program]:
        environ = {"PYTHONPATH": str(self.deployment.root.parent), "OMAKASE_CONFIG_GRACE_S": "0"}
        names = [recommender_program(name) for name in self.deployment.local_recommenders(self.product)]
        return [Program(name, "waits", environ) for name in ("gateway", *names, "tracking", "trainer", "batch")]


@pytest.fixture
def small(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Small]:
    (tmp_path / "waits.py").write_text(WAITS)
    monkeypatch.setattr(supervisor, "_LEAVING_S", 0.1)
    with Small(deployment) as up:
        up.wait_ready(30.0)
        until(lambda: all("waiting" in child.log_tail() for child in up.processes.values()), "all wait")
        yield up


def pids(up: Supervisor) -> dict[str, int]:
    return {name: pid_of(child) for name, child in up.processes.items()}


def pid_of(child: Child) -> int:
    """0 while it does not run."""
    try:
        return child.pid
    except ProcessLookupError:
        return 0


def started_again(up: Supervisor, before: dict[str, int]) -> set[str]:
    return {name for name, pid in pids(up).items() if pid and pid != before.get(name)}


def change(up: Supervisor, text: str) -> None:
    """Write it, and wait until it is in force."""
    up.deployment.config.write_text(text)
    digest = {"digest": sha256(text.encode()).hexdigest()[:16]}
    until(lambda: REGISTRY.get_sample_value("omakase_configuration_info", digest) == 1, "the supervisor takes it")


def test_a_recommender_is_started_when_it_is_named_and_ends_when_it_is_not(small):
    before = pids(small)
    change(small, TWO)
    until(lambda: started_again(small, before) == {"recommender-second"}, "it runs, and nothing else was touched")
    assert list(small.processes) == [
        "gateway",
        "recommender-main",
        "recommender-second",
        "tracking",
        "trainer",
        "batch",
    ]
    change(small, PRODUCT)
    until(lambda: pids(small) == before, "it has ended, and nothing else was touched")
    assert not small.processes["trainer"].restarts


def test_a_recommender_that_is_named_again_before_it_ends_goes_on(small, monkeypatch):
    monkeypatch.setattr(supervisor, "_LEAVING_S", 60.0)
    change(small, TWO)
    before = pids(small)
    change(small, PRODUCT)
    change(small, TWO)
    monkeypatch.setattr(supervisor, "_LEAVING_S", 0.0)
    change(small, TWO.replace("slots: 3", "slots: 4"))
    assert pids(small) == before


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ("slots: 3", "slots: 4", set()),
        ("linear_ts", "linear_ts, exploration: 0.1", set()),
        ("slots: 3", "rewards: {click: 2}", {"trainer"}),
        ("{features: taste}", "{features: taste, half_life_s: 60}", {"trainer"}),
        ("scale: 10", "scale: 20", {"trainer"}),
        ("slots: 3", "examination: estimated", {"batch"}),
        ("policies:", "people: {retention_s: 60}\npolicies:", {"batch"}),
        ("policies:", "learning: {reward_window_s: 7200}\npolicies:", {"trainer", "batch"}),
    ],
)
def test_who_holds_no_requests_starts_again_if_what_it_uses_has_changed(small, caplog, old, new, again):
    before = pids(small)
    with caplog.at_level(logging.INFO):
        change(small, PRODUCT.replace(old, new))
    assert {name for name in before if f"{name} starts again" in caplog.text} == again
    until(lambda: started_again(small, before) == again, f"{again} run anew")
    assert not any(child.restarts for child in small.processes.values()), "nobody takes it for a fault"


def test_a_wrong_file_touches_nothing_and_is_told_once_with_its_lines(small, caplog):
    before = pids(small)
    small.deployment.config.write_text(PRODUCT.replace("slots: 3", "slots: three"))
    until(lambda: "slots: must be a whole number" in caplog.text, "it is refused")
    change(small, PRODUCT.replace("slots: 3", "slots: 4"))
    assert caplog.text.count("product.yaml:4: placements.home-top.slots") == 1
    assert small.product.placements["home-top"].slots == 4
    assert pids(small) == before


def test_a_process_that_is_dismissed_and_does_not_end_is_killed_while_others_are_looked_after(tmp_path, caplog):
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    stubborn = Child(Program("stubborn", "stubborn", {"PYTHONPATH": str(tmp_path)}), tmp_path)
    stubborn.start()
    until(lambda: "waiting" in stubborn.log_tail(), "it runs")
    stubborn.dismiss(grace_s=0.1)

    def has_ended() -> bool:
        stubborn.keep()
        return stubborn.has_ended

    until(has_ended, "it has ended")
    assert "stubborn did not stop within 0.1 s and was killed" in caplog.text


# Over the real services


@pytest.fixture
def up(deployment: Deployment) -> Iterator[Supervisor]:
    open_catalogue_store(deployment.uris.catalogue).put([Item(f"i{i}", {"price": float(i)}) for i in range(6)])
    with Supervisor(replace(deployment, config_poll_s=0.2)) as up:
        up.wait_ready(60.0)
        yield up


def ask(up: Supervisor, person: int) -> dict[str, Any]:
    answer = post(up.gateway_url, "/v1/recommendations", {"placement": "home-top", "anonymous_id": f"p{person}"})
    assert answer.status == 200, answer
    return answer.body


def asking(up: Supervisor, is_enough: Callable[[list[dict[str, Any]]], bool], what: str) -> None:
    """Ask until the last answers are as they should be. No answer on the way may be a fallback."""
    answers: list[dict[str, Any]] = []

    def look() -> bool:
        answers.append(ask(up, len(answers)))
        assert not answers[-1]["fallback"], answers[-1]
        return len(answers) >= 20 and is_enough(answers[-20:])

    until(look, what)


def variants(answers: list[dict[str, Any]]) -> set[str]:
    return {answer["variant"] for answer in answers}


@pytest.mark.slow
def test_the_file_is_followed_by_every_service_and_what_is_wrong_leaves_them_as_they_are(up):
    change(up, TWO)
    asking(up, lambda answers: variants(answers) == {"learnt", "other"}, "the new recommender is asked")
    up.deployment.config.write_text(TWO.replace("type: uniform", "type: unifrom"))
    main = up.processes["recommender-main"]
    until(lambda: "unknown type 'unifrom'; did you mean 'uniform'?" in main.log_tail(200), "it is refused")
    os.kill(main.pid, signal.SIGKILL)
    until(lambda: main.restarts == 1, "who dies meanwhile is started")
    until(lambda: not any(ask(up, person)["fallback"] for person in range(20)), "and serves what was valid")
    change(up, PRODUCT + "event_types: [wish]\n")
    asking(up, lambda answers: variants(answers) == {"learnt"}, "the other one is asked no more")
    shown = ask(up, 0)["items"][0]["delivery_id"]
    wish = {"events": [{"delivery_id": shown, "type": "wish", "event_id": "w1"}]}
    until(lambda: post(up.tracking_url, "/v1/events", wish).body["accepted"] == 1, "tracking takes the new type")
