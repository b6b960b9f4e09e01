"""The whole service over all counterparts of the cloud at once, with the addresses of examples/gcp-emulators.yaml."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import pytest
import yaml

from omakase.cloud.plan import Plan
from tests.counterparts import ALL, REDIS, cloud
from tests.fault.matrix.evidence import Evidence
from tests.fault.matrix.row import Row, Scene, perform
from tests.fault.matrix.rows.kills import kill
from tests.fault.matrix.verdict import judge

EXAMPLE = Path(__file__).parents[2] / "examples" / "gcp-emulators.yaml"
# BigQuery's emulator joins in quadratic time: it has to do with some hundred slates.
_PAUSE_S = 0.4
VICTIMS = ("gateway", "recommender-main", "tracking", "trainer", "batch")


def addresses() -> dict[str, str]:
    """Those of the example, with names of this run's own, at the counterparts that run here."""
    for counterpart in ALL:
        counterpart.address()
    own = cloud.fresh_name()
    text = yaml.safe_load(EXAMPLE.read_text())["adapters"]
    return {
        port: address.replace("omakase-dev/", f"omakase-dev/{own}_")
        .replace("omakase-dev-", f"{own}-")
        .replace("omakase-trainer", f"{own}-trainer")
        .replace("datastore:omakase-dev", f"datastore:omakase-dev?namespace={own}")
        .replace("redis://127.0.0.1:6379/0", f"redis://{REDIS.address()}/0?prefix={own}")
        for port, address in text.items()
    }


@cache
def after_killing_each() -> Evidence:
    """What is left after each process was killed, under load, and everything was drained."""

    def injure(scene: Scene) -> str:
        for victim in VICTIMS:
            scene.serve(15)
            kill(scene, victim)
            scene.up.wait_ready(60.0)
        return ", ".join(VICTIMS)

    adapters = addresses()
    for resource in Plan(adapters, cloud.PROJECT, "us-central1").storage():
        resource.ensure()
    with tempfile.TemporaryDirectory() as home:
        return perform(Row("cloud", injure, pause_s=_PAUSE_S), Path(home), seed=1, adapters=adapters)[1]


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_it_learns_and_balances_and_survives_kill_9_as_embedded_does() -> None:
    evidence = after_killing_each()
    verdict = judge(evidence)
    assert verdict.faults == ()
    assert (verdict.errors, verdict.lost, verdict.learnt_twice) == (0, 0, 0)
    assert evidence.notes.slates > evidence.notes.fallbacks
