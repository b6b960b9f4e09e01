"""How the job gets onto Dataflow: the launcher's arguments, the flex template, and the script that uses it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from dataflow.launch import job_of, local_file, options_of
from omakase.config import load_product
from omakase.core.errors import InvalidConfig, InvalidInput
from omakase.settings import StreamingSettings
from tests.counterparts import cloud

ROOT = Path(__file__).parents[3]
STOREFRONT = ROOT / "examples/storefront.yaml"
DEPLOY = ROOT / "deploy/dataflow"
ADDRESSES = {
    "config": str(STOREFRONT),
    "bus": "pubsub:shop-project/events?subscription=stream",
    "models": "gs://shop-models/models",
    "warehouse": "bigquery:shop-project/omakase",
}
METADATA = json.loads((DEPLOY / "metadata.json").read_text())
# What a template's parameter may be besides: an option of Beam's.
BEAM = {"sdk_container_image"}


def arguments(**changes: str) -> list[str]:
    return [f"--{name}={value}" for name, value in (ADDRESSES | changes).items()]


def test_what_is_not_ours_is_left_to_beam() -> None:
    settings, others = StreamingSettings.from_arguments([*arguments(spread="16"), "--region=europe-west1", "--update"])
    assert (settings.bus, settings.spread, settings.closed_before) == (ADDRESSES["bus"], 16, 0.0)
    assert others == ["--region=europe-west1", "--update"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"spread": "0"}, "--spread: .*greater"),
        ({"shard": "S-1"}, "--shard: "),
        ({"shard": "embedded"}, "--shard: .*bounded trainers"),
        ({"history_s": "soon"}, "--history_s"),
    ],
)
def test_a_setting_out_of_its_bounds_is_refused_by_name(changes: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidConfig, match=told):
        StreamingSettings.from_arguments(arguments(**changes))


def test_a_missing_address_is_named() -> None:
    with pytest.raises(InvalidConfig, match="--warehouse: Field required"):
        StreamingSettings.from_arguments(arguments()[:-1])


def test_a_misspelt_setting_is_not_taken_for_an_option_of_beam() -> None:
    with pytest.raises(InvalidConfig, match=r"--spred: unknown option.*spread"):
        options_of(["--spred=3"])


@pytest.mark.parametrize("bus", ["sqlite:/data/bus.db", "pubsub:shop-project/events", "pubsub:events?subscription=s"])
def test_only_a_subscription_of_pubsub_can_be_read(bus: str) -> None:
    with pytest.raises(InvalidInput, match="PROJECT/TOPIC"):
        job_of(StreamingSettings(**(ADDRESSES | {"bus": bus})), load_product(STOREFRONT))


@pytest.fixture
def place(tmp_path: Path) -> str:
    """A directory of a bucket, with a configuration and a neighbour, and something further down."""
    bucket, _, prefix = cloud.models(tmp_path).removeprefix("gs://").partition("/")
    with closing(Client(project=cloud.PROJECT, credentials=AnonymousCredentials())) as client:
        for name in ("storefront.yaml", "vectors.npy", "deeper/other.yaml"):
            client.bucket(bucket).blob(f"{prefix}/{name}").upload_from_string(name)
    return f"gs://{bucket}/{prefix}"


def test_a_configuration_in_a_bucket_comes_with_what_lies_beside_it(place: str) -> None:
    with local_file(f"{place}/storefront.yaml") as path:
        found = {each.name: each.read_text() for each in path.parent.iterdir()}
    assert found == {"storefront.yaml": "storefront.yaml", "vectors.npy": "vectors.npy"}
    assert not path.exists()


def test_a_configuration_that_is_not_there_is_named(place: str) -> None:
    with pytest.raises(InvalidConfig, match=r"nowhere\.yaml"), local_file(f"{place}/nowhere.yaml") as path:
        load_product(path)


# The template


def test_the_template_s_parameters_are_the_settings_one_by_one() -> None:
    parameters = {each["name"]: each["isOptional"] for each in METADATA["parameters"]}
    fields = {name: not field.is_required() for name, field in StreamingSettings.model_fields.items()}
    assert {name: is_optional for name, is_optional in parameters.items() if name not in BEAM} == fields
    assert parameters.keys() >= BEAM


def test_the_template_takes_the_addresses_that_the_launcher_takes() -> None:
    given = ADDRESSES | {"config": "gs://shop-dataflow/config/1/storefront.yaml", "closed_before": "1760000000.0"}
    given |= {"shard": "stream", "spread": "8", "history_s": "60.0", "history_bytes": "32000000", "history_spread": "4"}
    patterns = {each["name"]: each.get("regexes", [".*"]) for each in METADATA["parameters"]}
    assert given.keys() == patterns.keys() - BEAM
    for name, value in given.items():
        assert all(re.fullmatch(pattern, value) for pattern in patterns[name]), name


# The script

GCLOUD = """#!/bin/sh
printf '%s\\n' "$*" >> "$CALLS"
case "$*" in
  *"jobs list"*) cat "$RUNNING" ;;
  *"jobs describe"*) echo JOB_STATE_DRAINED ;;
esac
"""


class Script:
    """launch.sh with a gcloud that notes what it is asked, and says that a job runs if one does."""

    def __init__(self, directory: Path) -> None:
        self._calls, self._running = directory / "calls", directory / "running"
        self._running.write_text("")
        (directory / "gcloud").write_text(GCLOUD)
        (directory / "gcloud").chmod(0o755)
        self.environ = {
            "PATH": f"{directory}:{os.environ['PATH']}",
            "CALLS": str(self._calls),
            "RUNNING": str(self._running),
            "PROJECT": "shop-project",
            "REGION": "europe-west1",
            "BUCKET": "shop-dataflow",
            "REPOSITORY": "images",
            "BUS": ADDRESSES["bus"],
            "MODELS": ADDRESSES["models"],
            "WAREHOUSE": ADDRESSES["warehouse"],
            "CONFIG": str(STOREFRONT),
            "SERVICE_ACCOUNT": "learn@shop-project.iam",
        }

    def is_running(self, job: str = "2026-11-22_1") -> Script:
        self._running.write_text(job)
        return self

    def __call__(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(DEPLOY / "launch.sh"), *command], env=self.environ, capture_output=True, text=True, timeout=60
        )

    def calls(self, of: str) -> list[str]:
        return [call for call in self._calls.read_text().splitlines() if of in call]

    def parameters(self) -> dict[str, str]:
        """What the last job was started with."""
        text = self.calls("flex-template run")[-1].partition("--parameters=^~^")[2].partition(" --update")[0]
        return dict(pair.split("=", 1) for pair in text.split("~"))


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


def test_a_run_hands_over_what_the_launcher_needs(script: Script) -> None:
    assert script("run").returncode == 0
    given = script.parameters()
    assert given.pop("sdk_container_image") == "images/omakase-dataflow:0.1.0"
    settings, others = StreamingSettings.from_arguments([f"--{name}={value}" for name, value in given.items()])
    assert others == []
    assert (settings.bus, settings.models) == (ADDRESSES["bus"], ADDRESSES["models"])
    assert re.fullmatch(r"gs://shop-dataflow/config/[0-9a-f]{16}/storefront\.yaml", settings.config)
    (uploaded,) = script.calls("storage cp")
    assert str(STOREFRONT) in uploaded
    assert settings.config.rpartition("/")[0] in uploaded


def test_a_second_job_on_the_subscription_is_refused(script: Script) -> None:
    done = script.is_running()("run")
    assert (done.returncode, "launch.sh update" in done.stderr) == (2, True)
    assert script.calls("flex-template run") == []


def test_a_rollback_is_an_update_with_the_older_template_and_image(script: Script) -> None:
    assert script.is_running()("rollback", "0.0.9").returncode == 0
    (call,) = script.calls("flex-template run")
    assert "gs://shop-dataflow/templates/omakase-0.0.9.json" in call
    assert call.endswith("--update")
    assert script.parameters()["sdk_container_image"].endswith(":0.0.9")


def test_what_a_drained_job_had_is_closed_for_the_next(script: Script) -> None:
    done = script.is_running()("restart")
    assert done.returncode == 0, done.stderr
    assert len(script.calls("jobs drain 2026-11-22_1")) == 1
    closed_before = script.parameters()["closed_before"]
    assert int(closed_before) > 1_700_000_000
    assert f"CLOSED_BEFORE={closed_before}" in done.stderr


def test_what_is_not_said_is_asked_for(script: Script) -> None:
    del script.environ["BUCKET"]
    done = script("run")
    assert (done.returncode, done.stderr.strip()) == (2, "launch.sh: set BUCKET; the head of this file says what it is")
