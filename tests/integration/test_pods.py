"""The pods of the local overlay as processes of this machine, over the counterparts of Google Cloud's services.

They have the command and the variables that the manifests give them, are found well by their probes, used, and ended as
a rollout ends them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from omakase.adapters import open_catalogue_store
from omakase.adapters.local.spool_reader import SpoolReader
from omakase.core.catalogue import Item
from omakase.keys import create_keys
from tests.counterparts import cloud
from tests.integration.stage import PATIENCE_S, free_port
from tests.unit.deploy.rendered import Container, containers, find, render

SERVING = ("gateway", "recommender", "tracking")


class Pods:
    """One pod of each service. Files, ports and names are this machine's; all else is what a cluster would have."""

    def __init__(self, directory: Path) -> None:
        documents = render("local")
        self._directory = directory
        self._ports = {(module, port): free_port() for module in SERVING for port in (8080, 9090, 50051)}
        create_keys(directory / "keys.yaml")
        product = find(documents, "ConfigMap", "product")["data"]["product.yaml"]
        (directory / "product.yaml").write_text(self._here("recommender", product))
        self.catalogue = cloud.catalogue(directory)
        self._addresses = {
            "OMAKASE_BUS": cloud.pubsub(directory).partition("?")[0],
            "OMAKASE_DELIVERIES": cloud.redis(directory),
            "OMAKASE_CONTEXTS": cloud.datastore(directory),
            "OMAKASE_CATALOGUE": self.catalogue,
            "OMAKASE_MODELS": cloud.models(directory),
        }
        self.pods = {one.module: one for one in containers(documents) if one.module in SERVING}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        for module in ("tracking", "recommender", "gateway"):
            command = [sys.executable, *self.pods[module].spec["command"][1:]]
            log = (self._directory / f"{module}.log").open("wb")
            with log:
                self.processes[module] = subprocess.Popen(command, env=self.environ(module), stderr=log)

    def environ(self, module: str) -> dict[str, str]:
        told = {name: self._here(module, value) for name, value in self.pods[module].environ().items()}
        ours = {name: address for name, address in self._addresses.items() if name in told}
        emulators = {name: value for name, value in os.environ.items() if name.endswith("_EMULATOR_HOST")}
        return {"PATH": os.environ["PATH"], **told, **ours, **emulators}

    def spool(self, module: str) -> Path:
        return self._directory / f"{module}-spool"

    def address(self, module: str, port: int = 8080) -> str:
        return f"127.0.0.1:{self._ports[module, port]}"

    def log(self, module: str) -> str:
        return (self._directory / f"{module}.log").read_text()

    def stop(self) -> dict[str, int]:
        """As a rollout does, and as soon as their time is over, without mercy. Returns the exit codes."""
        codes = {}
        for module in ("gateway", "recommender", "tracking"):
            if module in self.processes:
                process, pod = self.processes[module], self.pods[module]
                process.send_signal(signal.SIGTERM)
                pause_s = float(pod.spec["lifecycle"]["preStop"]["exec"]["command"][1])
                try:
                    codes[module] = process.wait(pod.pod["spec"]["terminationGracePeriodSeconds"] - pause_s)
                except subprocess.TimeoutExpired:
                    process.kill()
                    codes[module] = process.wait()
        return codes

    def _here(self, module: str, text: str) -> str:
        for container, ports in (("tracking-records", "tracking"), ("recommender-main", "recommender")):
            text = text.replace(f"dns:///{container}:50051", f"dns:///127.0.0.1:{self._ports[ports, 50051]}")
        for port in (8080, 9090, 50051):
            text = text.replace(f"0.0.0.0:{port}", f"127.0.0.1:{self._ports[module, port]}")
        text = text.replace("/var/spool/omakase", str(self.spool(module)))
        return text.replace("/etc/omakase/product", str(self._directory)).replace(
            "/etc/omakase/keys", str(self._directory)
        )


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Pods]:
    pods = Pods(tmp_path)
    yield pods
    for process in pods.processes.values():
        process.kill()
        process.wait()


def is_well(pods: Pods, container: Container, kind: str) -> bool:
    """What the kubelet would find."""
    probe, module = container.spec[kind], str(container.module)
    if "grpc" in probe:
        asked = health_pb2.HealthCheckRequest(service=probe["grpc"].get("service", ""))
        with grpc.insecure_channel(pods.address(module, probe["grpc"]["port"])) as channel:
            try:
                told = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=2.0)
            except grpc.RpcError:
                return False
        return bool(told.status == health_pb2.HealthCheckResponse.SERVING)
    get = probe["httpGet"]
    try:
        with urllib.request.urlopen(f"http://{pods.address(module)}{get['path']}", timeout=2.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_until_well(pods: Pods, kind: str) -> None:
    deadline = time.monotonic() + 2 * PATIENCE_S
    for module, container in pods.pods.items():
        while not is_well(pods, container, kind):
            assert time.monotonic() < deadline, f"{module}, {kind}:\n{pods.log(str(module))}"
            assert pods.processes[str(module)].poll() is None, pods.log(str(module))
            time.sleep(0.1)


def post(address: str, path: str, body: object) -> tuple[int, Any]:
    request = urllib.request.Request(f"http://{address}{path}", json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return answer.status, json.load(answer)


def ranked(pods: Pods) -> Any:
    """The first slate that is no fallback."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        status, slate = post(pods.address("gateway"), "/v1/recommendations", {"placement": "home-top", "user_id": "u1"})
        assert status == 200
        if not slate["fallback"]:
            return slate
    raise AssertionError("nothing but fallback slates")


@pytest.mark.cluster
def test_the_pods_start_serve_and_leave_nothing_behind(pods: Pods) -> None:
    items = [Item(f"i{n}", {"category": "shoes", "price": 20.0 + n}) for n in range(10)]
    open_catalogue_store(pods.catalogue).put(items)
    pods.start()
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        wait_until_well(pods, kind)
    slate = ranked(pods)
    events = [{"delivery_id": item["delivery_id"], "type": "impression"} for item in slate["items"]]
    status, told = post(pods.address("tracking"), "/v1/events", {"events": events})
    assert (status, told["accepted"]) == (202, len(events))
    assert pods.stop() == dict.fromkeys(SERVING, 0)
    for module in ("gateway", "recommender"):
        with closing(SpoolReader(pods.spool(module))) as left:
            assert left.read(10) == [], pods.log(module)
