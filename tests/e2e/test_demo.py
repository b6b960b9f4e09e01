"""The demo for a few seconds, through the real services: traffic flows, the books balance, scripts can read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omakase.accounts import read_account
from omakase.core.errors import InvalidInput
from omakase.demo.run import run_demo
from omakase.deployment import Deployment


@pytest.mark.slow
def test_a_short_run_serves_learns_and_balances(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_dir = tmp_path / "data"
    code = run_demo(seconds=8.0, seed=1, data_dir=data_dir, json_output=True)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["faults"] == []
    assert code == 0
    shoppers, account = told["shoppers"], told["account"]
    # The floor of the pacing: even a machine under strain serves twenty a second.
    assert shoppers["requests"] > 100
    assert shoppers["errors"] == 0
    assert account["accepted"] >= shoppers["accepted"] > 0
    assert account["recorded"] >= shoppers["deliveries"] > 0
    whole = read_account(Deployment(data_dir / "demo.yaml", data_dir), with_warehouse=True)
    assert whole.faults() == []
    # A shopper whose answer got lost cannot know; with every answer there, all who count agree to the event.
    assert shoppers["accepted"] <= whole.accepted <= shoppers["accepted"] + shoppers["unknown"]
    assert whole.loaded is not None
    assert whole.accepted == whole.events.total == sum(whole.events.ends.values()) == whole.loaded.events
    assert whole.recorded == whole.deliveries.total == sum(whole.deliveries.ends.values()) == whole.loaded.deliveries
    assert (whole.unread, whole.loaded.unloaded, whole.parked) == (0, 0, 0)
    assert all(told["variants"][variant]["impressions"] > 0 for variant in ("uniform", "learnt"))
    assert any(not version.endswith("@0") for version in shoppers["first_seen"]), "no model was ever published"


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").touch()
    with pytest.raises(InvalidInput, match="not empty"):
        run_demo(seconds=1.0, seed=1, data_dir=tmp_path, json_output=True)
