"""`omakase batch`, as a shell or a CronJob runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from omakase.deployment import Deployment
from tests.integration.cli.conftest import EXAMPLES
from tests.integration.test_batch import HOUR, Desk
from tests.integration.test_tracking import new_slate


def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("OMAKASE_")}
    done = subprocess.run(
        [sys.executable, "-c", "from omakase.cli import main; main()", "batch", *arguments],
        env={**plain, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    slate = new_slate(HOUR)
    desk.serve(slate)
    desk.happen(slate, 1, "click", HOUR + 1)
    desk.loader.load()
    return desk


def test_a_day_is_aggregated_in_a_data_directory(desk):
    (desk.directory / "configuration.yaml").write_text((EXAMPLES / "storefront.yaml").read_text())
    code, out, err = run("aggregate", "--date", "2025-10-09", "--data-dir", str(desk.directory))
    assert (code, out) == (0, "aggregate: 1 hours, 3 rows\n"), err
    assert "aggregate: 1 of 1" in err
    assert desk.report()[HOUR, "learnt", "i0"] == (1, 1, 1, 0.0)


def test_a_pod_is_told_by_its_environment_what_to_work_on(desk):
    told = Deployment(EXAMPLES / "storefront.yaml", desk.directory).batch(None)
    pod = told.model_copy(update={"bus": None, "state": None, "training": None}).to_environ()
    code, out, err = run("aggregate", **pod)
    assert (code, out) == (0, "aggregate: 1 hours, 3 rows\n"), err


def test_what_is_away_is_to_be_tried_again(desk):
    environ = Deployment(EXAMPLES / "storefront.yaml", desk.directory).batch(None).to_environ()
    (desk.directory / "warehouse" / "hourly").write_text("in the way")
    code, _, err = run("aggregate", **environ)
    assert (code, "Traceback" in err) == (3, False), err
