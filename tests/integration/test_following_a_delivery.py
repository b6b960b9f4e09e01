"""One delivery from its request to the model that learnt from it, over the real processes: spans, logs, `follow`."""

from __future__ import annotations

import http.client
import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from omakase.adapters import open_catalogue_store, open_delivery_store, open_model_store
from omakase.cli import app
from omakase.core.catalogue import Item
from omakase.core.ids import RequestId
from omakase.deployment import Deployment
from omakase.models import keys
from omakase.supervisor import Supervisor
from tests.integration.receiver import Receiver
from tests.integration.stage import PATIENCE_S, until
from tests.integration.test_supervisor import PRODUCT

LEARNING = "learning: {session_gap_s: 0.5, session_max_s: 5, publish_interval_s: 1}\n"
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALL_ID = "order-page_0123456789"


@dataclass(frozen=True)
class Shop:
    """A running deployment and where its traces go."""

    supervisor: Supervisor
    receiver: Receiver

    def post(self, url: str, path: str, body: object, **headers: str) -> tuple[int, dict[str, str], Any]:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE_S)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("POST", path, json.dumps(body), sent)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), json.loads(response.read())
        finally:
            connection.close()

    def ask(self, **headers: str) -> tuple[int, dict[str, str], Any]:
        body = {"placement": "home-top", "anonymous_id": "visitor-1"}
        return self.post(self.supervisor.gateway_url, "/v1/recommendations", body, **headers)

    def happen(self, delivery_id: str, *kinds: str) -> None:
        events = [{"delivery_id": delivery_id, "type": kind} for kind in kinds]
        status, _, answer = self.post(self.supervisor.tracking_url, "/v1/events", {"events": events})
        assert (status, answer["accepted"]) == (202, len(kinds))

    def follow(self, delivery_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.told(delivery_id, "--json"))
        return found

    def told(self, delivery_id: str, *more: str) -> str:
        arguments = ["follow", delivery_id, "--data-dir", str(self.supervisor.deployment.data_dir), *more]
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    def lines(self, service: str) -> list[dict[str, Any]]:
        log = self.supervisor.deployment.root / "logs" / f"{service}.log"
        return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    config = tmp_path / "product.yaml"
    config.write_text(PRODUCT + LEARNING)
    with Receiver() as receiver:
        observing = {"log_format": "json", "traces": receiver.url, "traces_ratio": 1e-9}
        deployment = Deployment(config, tmp_path / "data", observing=observing, tuning={"trainer": {"tick_s": 0.2}})
        (tmp_path / "data").mkdir()
        open_catalogue_store(deployment.uris.catalogue).put(Item(f"i{n}", {"price": float(n)}) for n in range(20))
        with Supervisor(deployment) as supervisor:
            supervisor.wait_ready(timeout_s=120)
            yield Shop(supervisor, receiver)


@pytest.mark.slow
def test_a_click_is_followed_from_its_request_to_the_published_model(shop: Shop) -> None:
    status, headers, slate = shop.ask(traceparent=f"00-{TRACE}-{CALLER}-01", X_Request_Id=CALL_ID)
    assert (status, headers["x-request-id"]) == (200, CALL_ID)
    clicked, ignored = (item["delivery_id"] for item in slate["items"][:2])
    shop.happen(clicked, "impression", "click")
    models = open_model_store(shop.supervisor.deployment.uris.models)
    until(lambda: bool(keys(models)), "a model is published")

    found = shop.follow(clicked)
    served, (lesson,) = found["served"], found["lessons"]
    assert (served["variant"], served["assigned_by"], served["policy"]) == ("learnt", "share", "thompson")
    assert (found["position"], served["item_id"]) == (1, slate["items"][0]["item_id"])
    assert served["model_version"] == slate["model_version"]
    assert {event["type"] for event in found["events"]} == {"impression", "click"}  # they came together
    assert found["ending"]["state"] == "learnt"
    assert (lesson["click"], lesson["sequence"]) == (1.0, 1)
    assert (lesson["publication"]["generation"], lesson["publication"]["is_first"]) == (1, True)
    assert f"published, first in {lesson['model']}@1" in shop.told(clicked)
    assert "visitor-1" not in shop.told(clicked)
    unseen = shop.follow(ignored)
    assert (unseen["ending"]["state"], unseen["events"], unseen["lessons"]) == ("open", [], [])

    spans_are_of_one_trace(shop.receiver, slate["request_id"])
    others_are_not_traced(shop)
    a_fallback_is_in_the_log(shop)
    logs_are_json(shop)


def spans_are_of_one_trace(receiver: Receiver, request_id: str) -> None:
    names = {"/v1/recommendations", "recommend", "call", "rank", "record", "join", "learn", "publish"}
    until(lambda: receiver.of(TRACE).keys() >= names, "every service has sent its spans")
    spans = receiver.of(TRACE)
    assert spans.keys() == names
    assert spans["/v1/recommendations"].parent == CALLER
    assert spans["recommend"].parent == spans["/v1/recommendations"].span
    assert {spans[name].parent for name in names - {"/v1/recommendations", "recommend"}} == {spans["recommend"].span}
    services = {"recommend": "gateway", "rank": "recommender", "join": "tracking", "publish": "trainer"}
    assert {name: spans[name].service for name in services} == services
    about_it = names - {"/v1/recommendations", "call"}
    assert {spans[name].told["request_id"] for name in about_it} == {request_id}
    assert spans["recommend"].told["variant"] == "learnt"
    assert spans["call"].told == {"recommender": "main", "requests": 1}
    assert (spans["publish"].told["generation"], spans["learn"].told["sequence"]) == (1, 1)
    assert all(span.began_ns <= span.ended_ns for span in spans.values())
    assert "visitor-1" not in str(receiver.spans)


def others_are_not_traced(shop: Shop) -> None:
    unwanted = "1" * 32
    _, _, slate = shop.ask(traceparent=f"00-{unwanted}-{CALLER}-00")
    records = open_delivery_store(shop.supervisor.deployment.uris.deliveries)
    request_id = RequestId(urlsafe_b64decode(slate["request_id"] + "=="))
    until(lambda: bool(records.find([request_id])), "its record is there")
    assert shop.follow(slate["items"][0]["delivery_id"])["served"]["trace"] == ""
    assert {span.trace for span in shop.receiver.spans} == {TRACE}


def a_fallback_is_in_the_log(shop: Shop) -> None:
    """By its request id, and by what the caller calls it."""
    shop.supervisor.processes["recommender-main"].stop(grace_s=10)
    status, _, slate = shop.ask(X_Request_Id=CALL_ID)
    assert (status, slate["fallback"]) == (200, True)
    (line,) = [line for line in shop.lines("gateway") if line.get("request_id") == slate["request_id"]]
    assert line["correlation_id"] == CALL_ID
    assert line["message"].startswith("a fallback slate at home-top, variant learnt")


def logs_are_json(shop: Shop) -> None:
    for service in ("gateway", "recommender-main", "tracking", "trainer"):
        lines = shop.lines(service)
        assert lines or service == "trainer"
        assert all(line.keys() >= {"time", "level", "service", "logger", "message"} for line in lines), service
