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

EXAMPLES = 50
# More than what they load while they warm up; what grows with every request would soon pass it.
MAX_GROWTH_MB = 60.0


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Supervisor]:
    config = tmp_path / "product.yaml"
    config.write_text(PRODUCT)
    deployment = Deployment(config, tmp_path / "data")
    open_catalogue_store(deployment.uris.catalogue).put(Item(f"i{n}", {"price": float(n)}) for n in range(20))
    with Supervisor(deployment) as supervisor:
        supervisor.wait_ready(timeout_s=60)
        yield supervisor


def resident_mb(up: Supervisor, service: str) -> float:
    status = Path(f"/proc/{up.processes[service].pid}/status").read_text()
    (kilobytes,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    return int(kilobytes) / 1024


def paths_of(up: Supervisor, who: str) -> list[str]:
    """Which paths they ask, and what they show. To forget people takes seconds each: it has tests of its own."""
    if who != "operator":
        return ["--exclude-path-regex", "^/admin/"]
    key = create_key(up.deployment.keys, "ops", Scope.ADMIN)
    only = ["--include-path-regex", "^/admin/", "--exclude-path", "/admin/v1/users:forget"]
    return ["-H", f"Authorization: Bearer {key}", *only]


@pytest.mark.parametrize(
    ("service", "who"), [("gateway", "storefront"), ("gateway", "operator"), ("tracking", "browser")]
)
def test_no_request_breaks_a_service_and_every_answer_is_documented(up: Supervisor, service: str, who: str) -> None:
    url = up.gateway_url if service == "gateway" else up.tracking_url
    before, pid = resident_mb(up, service), up.processes[service].pid
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    run = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json", "--no-color"),
            *(
                "--seed",
                "1",
                "--checks",
                checks,
                "--max-examples",
                str(EXAMPLES),
                "--phases",
                "examples,coverage,fuzzing",
            ),
            *paths_of(up, who),
            *("--suppress-health-check", "all", "--request-timeout", "10", "--generation-database", "none"),
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
    up.drain()
    assert read_account(up.deployment).faults() == []
