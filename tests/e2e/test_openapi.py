"""Both HTTP services against their own OpenAPI documents: whatever is sent, nothing breaks and nothing leaks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from omakase.accounts import read_account
from omakase.adapters import open_catalogue_store
from omakase.api_keys import Scope
from omakase.core.catalogue import Item
from omakase.deployment import Deployment
from omakase.issuing import create_key
from omakase.supervisor import Supervisor
from tests.integration.test_supervisor import PRODUCT

# Of each route, besides those at the bounds of its schema. What an operator does costs a thread and a disk.
EXAMPLES = {"anybody": 25, "storefront": 10, "operator": 8, "browser": 25, "server": 10}
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
)
# Unknown headers are nobody's fault, and every refusal is one. Tracking refuses an event, not the batch that it is in.
REFUSING = "negative_data_rejection"
SETTINGS = """
[generation]
allow-extra-parameters = false
[checks.negative_data_rejection]
expected-statuses = ["4xx", "503"]
"""
# More than what they load while they warm up; what grows with every request would soon pass it.
MAX_GROWTH_MB = 60.0


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    directory = tmp_path_factory.mktemp("up")
    config = directory / "product.yaml"
    config.write_text(PRODUCT)
    deployment = Deployment(config, directory / "data")
    open_catalogue_store(deployment.uris.catalogue).put(Item(f"i{n}", {"price": float(n)}) for n in range(20))
    (deployment.root / "schemathesis.toml").write_text(SETTINGS)
    with Supervisor(deployment) as supervisor:
        supervisor.wait_ready(timeout_s=60)
        yield supervisor
        supervisor.drain()
        assert read_account(deployment).faults() == []


def resident_mb(up: Supervisor, service: str) -> float:
    status = Path(f"/proc/{up.processes[service].pid}/status").read_text()
    (kilobytes,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    return int(kilobytes) / 1024


def asking_as(up: Supervisor, who: str) -> list[str]:
    """What they show, and which paths they ask. To forget people takes seconds each: it has tests of its own."""
    key = [] if who in ("anybody", "browser") else ["-H", f"Authorization: Bearer {new_key(up, who)}"]
    if who == "operator":
        return [*key, "--include-path-regex", "^/admin/", "--exclude-path", "/admin/v1/users:forget"]
    return [*key, "--include-path-regex", "^/v1/"] if key else ["--exclude-path-regex", "^/admin/"]


def new_key(up: Supervisor, who: str) -> str:
    scopes = {"storefront": Scope.STOREFRONT, "operator": Scope.ADMIN, "server": Scope.SERVER}
    return create_key(up.deployment.keys, who, scopes[who])


# Anybody asks first: as soon as there is a storefront's key, nobody comes in without one.
@pytest.mark.parametrize(
    ("service", "who"),
    [
        ("gateway", "anybody"),
        ("gateway", "storefront"),
        ("gateway", "operator"),
        ("tracking", "browser"),
        ("tracking", "server"),
    ],
)
def test_no_request_breaks_a_service_and_every_answer_is_documented(up: Supervisor, service: str, who: str) -> None:
    url = up.gateway_url if service == "gateway" else up.tracking_url
    before, pid = resident_mb(up, service), up.processes[service].pid
    phases = "examples,fuzzing" if who in ("storefront", "server") else "examples,coverage,fuzzing"
    run = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json", "--no-color"),
            *("--checks", ",".join([*CHECKS, REFUSING] if service == "gateway" else CHECKS)),
            *("--phases", phases, "--max-examples", str(EXAMPLES[who]), "--generation-deterministic"),
            *("--suppress-health-check", "all", "--request-timeout", "10"),
            *asking_as(up, who),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=150,
        cwd=up.deployment.root,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert up.processes[service].pid == pid, "it was started anew"
    assert resident_mb(up, service) - before < MAX_GROWTH_MB
