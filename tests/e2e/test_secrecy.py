"""The services as processes over TCP: HTTPS outside, mutual TLS inside, and logs that hold nothing of what was sent."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from omakase.adapters import open_catalogue_store, open_event_log
from omakase.api_keys import Scope
from omakase.core.catalogue import Item
from omakase.deployment import Deployment
from omakase.issuing import create_key, revoke_key
from omakase.keys import create_keys
from omakase.settings import Settings
from omakase.supervisor.child import Child, Program
from tests.integration.certificates import Authority, needs_openssl
from tests.integration.stage import PATIENCE_S, free_port, until
from tests.integration.test_supervisor import PRODUCT

pytestmark = needs_openssl
SECRET = "Grace-Hopper"  # marks all that is sent
GRACE_S = 30.0


@dataclass
class Site:
    """Three services, and a client of theirs."""

    deployment: Deployment
    authority: Authority
    ports: dict[str, int]
    children: dict[str, Child]

    def send(
        self, service: str, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        context = ssl.create_default_context(cafile=self.authority.path)
        connection = http.client.HTTPSConnection("localhost", self.ports[service], timeout=PATIENCE_S, context=context)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            answer = response.read()
            return response.status, json.loads(answer) if answer.startswith(b"{") else {}
        finally:
            connection.close()

    def is_ready(self) -> bool:
        try:
            return all(self.send(service, "GET", "/readyz")[0] == 200 for service in self.ports)
        except OSError:
            return False

    def stop(self) -> str:
        """Stop them in order; everything that they wrote."""
        for child in self.children.values():
            child.stop(GRACE_S)
        return "\n".join(child.log_tail(1_000_000) for child in self.children.values())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    config = tmp_path / "product.yaml"
    config.write_text(PRODUCT)
    authority = Authority(tmp_path / "authority")
    pair = authority.sign("service")
    files = {"grpc_certificate": pair.certificate, "grpc_key": pair.key, "grpc_ca": authority.path}
    ports = {"gateway": free_port(), "tracking": free_port()}
    common = {"log_level": "DEBUG", **{name: str(path) for name, path in files.items()}}
    tuning = {name: {**common, "http_address": f"127.0.0.1:{port}"} for name, port in ports.items()}
    tracking, recommender = (f"127.0.0.1:{free_port()}" for _ in range(2))
    tuning["gateway"]["recommenders"] = json.dumps({"main": recommender})
    edge = {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key), "cors_origins": "*"}
    deployment = Deployment(config, tmp_path / "data", edge=edge, tuning={**tuning, "recommender": common})
    (tmp_path / "data" / "logs").mkdir(parents=True)
    create_keys(deployment.keys)
    open_catalogue_store(deployment.uris.catalogue).put(Item(f"i{n}", {"price": float(n)}) for n in range(20))
    settings: dict[str, Settings] = {
        "gateway": deployment.gateway(str(tmp_path), tracking, None, None),
        "recommender": deployment.recommender("main", recommender, tracking, None),
        "tracking": deployment.tracking(tracking, None, None),
    }
    children = {
        name: Child(Program(name, name, one.to_environ()), tmp_path / "data" / "logs") for name, one in settings.items()
    }
    for child in children.values():
        child.start()
    running = Site(deployment, authority, ports, children)
    try:
        until(running.is_ready, "all are ready")
        yield running
    finally:
        running.stop()


def bad_requests() -> Iterator[tuple[str, str, str, Any, dict[str, str]]]:
    """Service, method, path, body, headers: each holds the secret where something might repeat it."""
    path = "/v1/recommendations"
    who = {"placement": "home-top", "anonymous_id": SECRET}
    for body in (
        f"{SECRET}",
        {**who, "placement": SECRET},
        {**who, "limit": SECRET},
        {**who, SECRET: 1},
        {**who, "context": {SECRET: {"a": SECRET}}},
        {**who, "context": {"price": SECRET, "hour": SECRET}},
        {**who, "candidates": [SECRET], "filter": {SECRET: SECRET}},
        {**who, "user_id": SECRET * 100},
        [SECRET],
    ):
        yield "gateway", "POST", path, body, {}
    yield "gateway", "POST", f"{path}?explain={SECRET}", who, {}
    yield "gateway", "GET", f"/{SECRET}", None, {"X_Header": SECRET, "Cookie": SECRET}
    yield "gateway", "POST", path, who, {"Omakase_Override": SECRET, "Omakase_Timeout_Ms": SECRET}
    yield "gateway", "POST", path, who, {"Omakase_Override": SECRET, "Idempotency_Key": SECRET}
    for event in (
        SECRET,
        {"delivery_id": SECRET, "type": SECRET},
        {"delivery_id": "A" * 32, "type": "click", SECRET: 1},
    ):
        yield "tracking", "POST", "/v1/events", {"events": [event]}, {"User_Agent": SECRET, "X_Forwarded_For": SECRET}
    yield "tracking", "POST", "/v1/events", f"{SECRET}", {}
    yield "tracking", "GET", f"/v1/pixel.gif?d={SECRET}&t={SECRET}", None, {}
    yield "tracking", "POST", "/v1/conversions", {"user_id": SECRET}, {"Authorization": f"Basic {SECRET}"}
    yield "tracking", "OPTIONS", "/v1/events", None, {"Origin": SECRET, "Access_Control_Request_Method": SECRET}


def test_services_speak_over_tls_and_their_logs_hold_nothing_that_was_sent(site: Site) -> None:
    path = site.deployment.keys
    app, orders, revoked = (
        create_key(path, "app", Scope.STOREFRONT),
        create_key(path, "orders", Scope.SERVER),
        create_key(path, "old", Scope.SERVER),
    )
    revoke_key(path, "old")
    wanted = {"placement": "home-top", "anonymous_id": SECRET, "user_id": SECRET, "context": {"note": SECRET}}
    status, slate = site.send(
        "gateway", "POST", "/v1/recommendations", json.dumps(wanted).encode(), Authorization=f"Bearer {app}"
    )
    assert (status, slate["fallback"]) == (200, False)
    delivery_id = slate["items"][0]["delivery_id"]
    log = open_event_log(site.deployment.uris.bus)
    until(lambda: bool(log.read(0, 1)), "the slate is shipped")
    event = json.dumps({"events": [{"delivery_id": delivery_id, "type": "click"}]}).encode()
    assert site.send("tracking", "POST", "/v1/events", event)[1]["accepted"] == 1
    for key in (app, orders, revoked, SECRET):
        for service, url in (("gateway", "/v1/recommendations"), ("tracking", "/v1/conversions")):
            _, answer = site.send(service, "POST", url, b"{}", Authorization=f"Bearer {key}")
            assert key not in json.dumps(answer)
    for service, method, url, body, headers in bad_requests():
        sent = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        status, answer = site.send(service, method, url, sent, **{"Authorization": f"Bearer {app}", **headers})
        assert status < 500, (url, body, answer)
    said = site.stop()
    assert "no key of ours" in said
    assert "'old' is revoked" in said
    for secret in (SECRET, app, orders, revoked, delivery_id, "PRIVATE KEY", path.read_text().split('"')[1]):
        assert secret not in said, next(line for line in said.splitlines() if secret in line)
