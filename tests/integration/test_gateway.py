"""The gateway over real HTTP, before a real recommender, on real stores."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Self

import grpc
import pytest

from omakase.config import parse_product
from omakase.core.ids import text_of
from omakase.counts import counts_key
from omakase.ports.model_store import ABSENT
from omakase.v1 import recommender_pb2, recommender_pb2_grpc
from tests.integration.stage import (
    KEYRING,
    KEYS,
    PATIENCE_S,
    PRODUCT,
    START,
    RunningGateway,
    RunningRecommender,
    Shop,
    Stage,
    Tracking,
    Visitor,
    free_port,
    someone_in,
    until,
)

UNIT = KEYRING.pseudonym("anonymous", "a1")
USER = KEYRING.pseudonym("user", "u1")


class Listener(recommender_pb2_grpc.RecommenderServicer):
    """A recommender that has nothing to show and remembers what it was asked."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self._server = grpc.server(ThreadPoolExecutor(1))
        recommender_pb2_grpc.add_RecommenderServicer_to_server(self, self._server)
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def Recommend(self, request: Any, context: Any) -> Any:  # noqa: N802
        empty = recommender_pb2.RecommendReply(slate=recommender_pb2.RecommendResponse(request_id=bytes(16)))
        for batch in request:
            self.heard.extend(batch.requests)
            yield recommender_pb2.RecommendReplies(replies=[empty] * len(batch.requests))


class TestAnswer:
    def test_has_every_field_of_the_contract(self, gateway, recommender, shop):
        answer = gateway.ask(placement="home-end", user_id="u1", anonymous_id="a1", context={"device": "ios"}, limit=2)
        (slate,) = recommender.recorded.slates()
        assert list(answer) == [
            "request_id", "placement", "variant", "policy", "model_version", "fallback", "ignored", "items",
        ]  # fmt: skip
        assert answer["request_id"] == text_of(slate.request_id)
        assert (answer["variant"], answer["policy"], answer["fallback"]) == ("learnt", "thompson", False)
        assert answer["model_version"] == shop.version(0)
        assert [item["position"] for item in answer["items"]] == [1, 2]
        assert [item["delivery_id"] for item in answer["items"]] == [d.delivery_id for d in slate.deliveries]
        assert list(answer["items"][0]) == [
            "item_id", "delivery_id", "position", "score", "predicted_click", "expected_value",
        ]  # fmt: skip

    def test_hides_people_behind_pseudonyms(self, gateway, recommender):
        gateway.ask(placement="home-end", user_id="u1", anonymous_id="a1")
        gateway.ask(placement="home-end", user_id="u1")
        gateway.ask(placement="home-end", anonymous_id="a1")
        slates = recommender.recorded.slates()
        assert [(slate.unit, slate.user) for slate in slates] == [(UNIT, USER), (USER, USER), (UNIT, "")]

    def test_shows_slots_items_unless_a_limit_is_named(self, gateway):
        assert len(gateway.ask(placement="home-top", user_id="u1")["items"]) == 3
        assert len(gateway.ask(placement="home-top", user_id="u1", limit=7)["items"]) == 7

    def test_null_candidates_are_the_whole_catalogue_and_none_are_nothing(self, gateway):
        assert len(gateway.ask(placement="home-top", user_id="u1", candidates=None)["items"]) == 3
        assert gateway.ask(placement="home-top", user_id="u1", candidates=[])["items"] == []

    def test_ignores_unknown_and_sold_out_candidates_and_says_so(self, gateway):
        chosen = ["i0", "i1", "i2", "nowhere"]
        answer = gateway.ask(placement="home-top", user_id="u1", candidates=chosen)
        assert [item["item_id"] for item in answer["items"]] == ["i0"]
        assert answer["ignored"] == ["i1", "i2", "nowhere"]

    def test_a_policy_without_a_model_has_no_model_version_and_no_prediction(self, gateway):
        answer = gateway.ask(placement="home-top", anonymous_id=someone_in(gateway, "control"))
        assert (answer["policy"], answer["model_version"]) == ("chance", None)
        assert {(item["predicted_click"], item["expected_value"]) for item in answer["items"]} == {(None, None)}

    def test_changes_model_version_under_traffic_without_an_error(self, gateway, shop):
        versions, stopping = [], threading.Event()

        def shopper() -> None:
            while not stopping.is_set():
                answer = gateway.ask(placement="home-end", user_id="u1")
                versions.append("fallback" if answer["fallback"] else answer["model_version"])

        threads = [threading.Thread(target=shopper) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            version = shop.version(shop.publish())
            until(lambda v=version: v in versions, f"{version} is served")
        stopping.set()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert set(versions) <= {shop.version(generation) for generation in range(4)}


class TestVariant:
    def test_sticks_to_the_anonymous_id_so_that_logging_in_changes_nothing(self, gateway):
        for i in range(20):
            before = gateway.ask(placement="home-top", anonymous_id=f"a{i}")["variant"]
            assert gateway.ask(placement="home-top", anonymous_id=f"a{i}", user_id="u1")["variant"] == before

    def test_is_the_same_with_and_without_consent_and_when_the_recommender_is_away(self, gateway, recommender):
        people = [f"a{i}" for i in range(10)]
        before = [gateway.ask(placement="home-top", anonymous_id=person)["variant"] for person in people]
        without = {"personalise": False, "measure": False}
        assert before == [
            gateway.ask(placement="home-top", anonymous_id=person, consent=without)["variant"] for person in people
        ]
        recommender.stop()
        answers = [gateway.ask(placement="home-top", anonymous_id=person) for person in people]
        assert before == [answer["variant"] for answer in answers]
        assert all(answer["fallback"] for answer in answers)


class TestConsent:
    def test_to_neither_leaves_nothing_of_the_person_in_the_record(self, gateway, recommender, shop):
        shop.contexts.put([(USER, {"age": 30.0})])
        consent = {"personalise": False, "measure": False}
        gateway.ask(placement="home-end", user_id="u1", context={"device": "ios"}, consent=consent)
        (slate,) = recommender.recorded.slates()
        assert (slate.unit, slate.user, slate.context) == ("", "", {})
        expected = shop.product.feature_spec("clicks").encode_context({"hour": 17.0})
        assert slate.context_factor.tolist() == expected.tolist()

    def test_to_personalise_alone_uses_the_context_and_records_nobody(self, gateway, recommender, shop):
        shop.contexts.put([(USER, {"age": 55.0})])
        gateway.ask(placement="home-end", user_id="u1", consent={"measure": False})
        (slate,) = recommender.recorded.slates()
        assert (slate.unit, slate.user, slate.context) == ("", "", {})
        expected = shop.product.feature_spec("clicks").encode_context({"hour": 17.0, "age": 55.0})
        assert slate.context_factor.tolist() == expected.tolist()

    def test_to_measure_alone_records_the_person_and_the_time(self, gateway, recommender):
        gateway.ask(placement="home-end", user_id="u1", context={"device": "ios"}, consent={"personalise": False})
        (slate,) = recommender.recorded.slates()
        assert (slate.unit, slate.user, slate.context) == (USER, USER, {"hour": 17.0, "weekday": 3.0})

    @pytest.mark.parametrize(
        ("consent", "sent"),
        [
            ({}, (UNIT, USER, ["device"])),
            ({"personalise": False}, (UNIT, USER, [])),
            ({"measure": False}, ("", USER, ["device"])),
            ({"personalise": False, "measure": False}, ("", "", [])),
        ],
    )
    def test_decides_what_leaves_the_gateway(self, stage, shop, tmp_path, consent, sent):
        with Listener() as listener:
            running = RunningGateway(stage, shop, tmp_path / "gateway", listener.target)
            context = {"device": "ios"}
            running.ask(placement="home-end", user_id="u1", anonymous_id="a1", context=context, consent=consent)
            running.stop()
        (heard,) = listener.heard
        assert (heard.unit, heard.user, list(heard.context)) == sent

    def test_holds_for_fallbacks_too(self, alone):
        context = {"device": "ios"}
        for consent in ({}, {"personalise": False}, {"measure": False}):
            alone.ask(placement="home-end", user_id="u1", context=context, consent=consent)
        slates = alone.recorded.slates()
        assert [(slate.user, slate.context) for slate in slates] == [(USER, context), (USER, {}), ("", {})]


class TestFallback:
    def test_is_stamped_recorded_and_counted_to_the_persons_variant(self, alone):
        answer = alone.ask(placement="home-top", anonymous_id="a1")
        (slate,) = alone.recorded.slates()
        assert (answer["fallback"], answer["policy"], answer["model_version"]) == (True, "fallback", None)
        assert {(item["score"], item["predicted_click"]) for item in answer["items"]} == {(0.0, None)}
        assert answer["request_id"] == text_of(slate.request_id)
        assert (slate.variant, slate.policy, slate.fallback) == (answer["variant"], "fallback", True)
        assert (slate.unit, slate.is_trainable) == (UNIT, False)
        assert [delivery.propensity for delivery in slate.deliveries] == [1.0, 1.0, 1.0]
        for delivery in slate.deliveries:
            assert KEYRING.verify(delivery.delivery_id, START, 60).position == delivery.position

    def test_is_catalogue_order_and_obeys_stock_hiding_and_exclusions(self, alone):
        answer = alone.ask(placement="home-top", user_id="u1", exclude=["i0"])
        assert [item["item_id"] for item in answer["items"]] == ["i3", "i4", "i5"]
        answer = alone.ask(placement="home-top", user_id="u1", candidates=["i9", "i1", "i7"])
        assert [item["item_id"] for item in answer["items"]] == ["i7", "i9"]
        assert answer["ignored"] == ["i1"]

    def test_is_popularity_where_there_is_a_snapshot_of_it(self, alone, shop, caplog):
        key = counts_key("home-top")
        counts = {"i4": [100, 9], "i1": [100, 10], "i9": [100, 20], "i3": [100, 0], "gone": [100, 15]}
        first = shop.models.publish(key, json.dumps(counts).encode(), if_generation=ABSENT)

        def shown() -> list[str]:
            return [item["item_id"] for item in alone.ask(placement="home-top", user_id="u1")["items"]]

        # Nobody has seen i0 yet: like the placement as a whole, which is clicked more often than i4.
        until(lambda: shown() == ["i9", "i0", "i5"], "popularity is served")
        shop.models.publish(key, b'{"not": "counts"}', if_generation=first)
        until(lambda: any("refused snapshot" in r.message for r in caplog.records), "the bad snapshot is refused")
        assert shown() == ["i9", "i0", "i5"]

    def test_of_an_empty_catalogue_is_an_empty_slate(self, stage, tmp_path):
        (tmp_path / "empty").mkdir()
        running = RunningGateway(stage, Shop(tmp_path / "empty"), tmp_path / "gateway", f"127.0.0.1:{free_port()}")
        assert running.ask(placement="home-top", user_id="u1")["items"] == []
        running.stop()

    def test_stands_in_within_the_deadline_when_the_recommender_hangs(self, stage, shop, tmp_path):
        with Stage() as other:
            hanging = RunningRecommender(other, shop, tmp_path / "spool").ready()
            running = RunningGateway(stage, shop, tmp_path / "gateway", hanging.target, timeout_s=0.2)
            assert not running.ask(placement="home-top", user_id="u1")["fallback"]
            other.freeze(1.0)
            assert running.ask(placement="home-top", user_id="u1")["fallback"]
            until(lambda: not running.ask(placement="home-top", user_id="u1")["fallback"], "it has thawed")
            assert metric(running, 'fallback="deadline_exceeded"') >= 1
            running.stop()
            hanging.stop()

    def test_stands_in_when_the_recommender_goes_and_ends_when_it_is_back(
        self, stage, shop, gateway, recommender, caplog
    ):
        assert not gateway.ask(placement="home-top", user_id="u1")["fallback"]
        recommender.stop()
        assert gateway.ask(placement="home-top", user_id="u1")["fallback"]
        again = RunningRecommender(stage, shop, shop.directory / "again", address=recommender.target)
        until(lambda: not gateway.ask(placement="home-top", user_id="u1")["fallback"], "the recommender is found again")
        again.stop()
        told = [
            r.message for r in caplog.records if r.name == "gateway.recommenders.replica" and r.levelno == logging.ERROR
        ]
        assert len(told) == 1

    def test_stands_in_when_the_recommender_lacks_the_model(self, stage, shop, tmp_path):
        older = Shop(tmp_path, parse_product(PRODUCT.replace("clicks", "sales")))
        behind = RunningRecommender(stage, older, tmp_path / "spool").ready()
        running = RunningGateway(stage, shop, tmp_path / "gateway", behind.target)
        assert running.ask(placement="home-end", user_id="u1")["fallback"]
        running.stop()
        behind.stop()

    def test_stands_in_when_the_recommender_can_record_nothing(self, gateway, recommender):
        shutil.rmtree(recommender.recorded.directory)
        assert gateway.ask(placement="home-top", user_id="u1")["fallback"]
        assert len(gateway.recorded.slates()) == 1

    def test_is_served_and_counted_as_lost_when_nothing_can_be_recorded(self, alone, caplog):
        before = metric(alone, "omakase_gateway_records_lost_total")
        shutil.rmtree(alone.recorded.directory)
        assert len(alone.ask(placement="home-top", user_id="u1")["items"]) == 3
        assert metric(alone, "omakase_gateway_records_lost_total") == before + 1
        assert any("without a delivery record" in record.message for record in caplog.records)

    def test_ships_its_records_before_it_stops(self, stage, shop, tmp_path):
        with Tracking() as tracking:
            target = f"127.0.0.1:{free_port()}"
            running = RunningGateway(stage, shop, tmp_path / "gateway", target, tracking=tracking.target)
            served = [running.ask(placement="home-top", user_id=f"u{i}")["request_id"] for i in range(50)]
            running.stop()
            assert [text_of(slate.request_id) for slate in tracking.slates()] == served


def metric(gateway: RunningGateway, part: str) -> float:
    """The sum of all samples whose line contains `part`."""
    text = gateway.send("GET", "/metrics")[2].decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if part in line and line[0] != "#")


class TestProcesses:
    """The services as they are started in production, and the signals they get there."""

    def test_survive_each_other(self, shop, tmp_path):
        shop.stock()
        (tmp_path / "product.yaml").write_text(PRODUCT)
        (tmp_path / "keys.yaml").write_text(KEYS)
        (tmp_path / "keys.yaml").chmod(0o600)
        grpc_port, http_port = free_port(), free_port()
        with Tracking() as tracking, ExitStack() as running:
            common = {
                "config": str(tmp_path / "product.yaml"),
                "keys": str(tmp_path / "keys.yaml"),
                "catalogue": f"sqlite:{tmp_path}/catalogue.db",
                "models": f"file:{tmp_path}/models",
                "tracking": tracking.target,
                "drain_s": "2",
            }

            def start(service: str, **settings: str) -> subprocess.Popen[bytes]:
                given = {f"OMAKASE_{name.upper()}": value for name, value in (common | settings).items()}
                process = subprocess.Popen([sys.executable, "-m", service], env={**os.environ, **given})
                running.callback(process.wait, PATIENCE_S)
                running.callback(process.kill)
                return process

            def start_recommender() -> subprocess.Popen[bytes]:
                address = {"grpc_address": f"127.0.0.1:{grpc_port}", "contexts": f"sqlite:{tmp_path}/contexts.db"}
                return start("recommender", spool=f"spool:{tmp_path}/spool/recommender", **address)

            recommender = start_recommender()
            gateway = start(
                "gateway",
                spool=f"spool:{tmp_path}/spool/gateway",
                http_address=f"127.0.0.1:{http_port}",
                recommenders=json.dumps({"main": f"127.0.0.1:{grpc_port}"}),
            )
            visitor = Visitor(http_port)
            until(visitor.is_welcome, "the gateway is ready")
            served: list[str] = []

            def ask() -> bool:
                answer = visitor.ask(placement="home-end", user_id="u1")
                served.append(answer["request_id"])
                return not answer["fallback"]

            until(ask, "the recommender answers")
            recommender.send_signal(signal.SIGSTOP)
            assert not ask()
            recommender.send_signal(signal.SIGCONT)
            until(ask, "the recommender goes on")
            recommender.kill()
            recommender.wait(PATIENCE_S)
            assert not ask()
            recommender = start_recommender()
            until(ask, "the recommender is back")
            for process in (recommender, gateway):
                process.send_signal(signal.SIGTERM)
                assert process.wait(PATIENCE_S) == 0
            assert set(served) <= {text_of(slate.request_id) for slate in tracking.slates()}


class TestOperations:
    def test_is_live_and_ready_without_a_recommender(self, alone):
        assert alone.send("GET", "/livez")[0] == 200
        assert alone.send("GET", "/readyz")[0] == 200

    def test_is_live_but_not_ready_before_its_first_catalogue(self, stage, shop, tmp_path, monkeypatch):
        monkeypatch.setattr("gateway.app._FIRST_CATALOGUE_S", 0.05)
        (tmp_path / "models" / "_counts%2fhome-top" / "newest").mkdir(parents=True)  # the store cannot be read
        running = RunningGateway(stage, shop, tmp_path / "gateway", f"127.0.0.1:{free_port()}")
        assert running.send("GET", "/livez")[0] == 200
        status, headers, _ = running.send("GET", "/readyz")
        assert (status, headers["retry-after"]) == (503, "1")
        body = json.dumps({"placement": "home-top", "user_id": "u1"}).encode()
        assert running.send("POST", "/v1/recommendations", body)[0] == 503
        (tmp_path / "models" / "_counts%2fhome-top" / "newest").rmdir()
        until(lambda: running.send("GET", "/readyz")[0] == 200, "the catalogue is loaded")
        running.stop()

    def test_counts_requests_by_what_became_of_them(self, gateway):
        line = 'requests_total{fallback="",placement="home-end",policy="thompson",status="200",variant="learnt"}'
        before = metric(gateway, line)
        gateway.ask(placement="home-end", user_id="u1")
        assert metric(gateway, line) == before + 1

    def test_documents_the_request_as_it_is_checked(self, gateway):
        document: dict[str, Any] = json.loads(gateway.send("GET", "/openapi.json")[2])
        operation = document["paths"]["/v1/recommendations"]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert schema["required"] == ["placement"]
        assert schema["properties"]["exclude"]["maxItems"] == 1000
        assert schema["properties"]["consent"]["properties"].keys() == {"personalise", "measure"}
        assert "$ref" not in json.dumps(schema)
        (example,) = schema["examples"]
        assert gateway.ask(**example)["placement"] == "home-top"
        assert gateway.send("GET", "/docs")[0] == 404  # it would load scripts from elsewhere


def test_its_openapi_document_stands_by_itself(gateway: RunningGateway) -> None:
    assert gateway.unresolved() == set()
