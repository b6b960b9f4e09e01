"""The recommender over real gRPC, on real stores."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from omakase.core.catalogue import Item
from omakase.core.posterior import Statistics
from omakase.v1 import recommender_pb2 as pb
from omakase.wire import encode_facts
from tests.integration.asking import Asking, items_of
from tests.integration.stage import KEYRING, PATIENCE_S, START, RunningRecommender, Shop, Tracking, until

ANNA = KEYRING.pseudonym("user", "anna")


@pytest.fixture
def channel(recommender: RunningRecommender) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(recommender.target) as channel:
        yield channel


@pytest.fixture
def ask(channel: grpc.Channel) -> Any:
    asking = Asking(channel)

    def ask(timeout_s: float = PATIENCE_S, context: dict[str, Any] | None = None, **changes: Any) -> Any:
        fields = {
            "placement": "home-top",
            "variant": "learnt",
            "policy": "thompson",
            "model": "clicks",
            "unit": "unit",
            "user": ANNA,
            "limit": 3,
            "personalise": True,
            "measure": True,
        }
        request = pb.RecommendRequest(**(fields | changes))
        encode_facts(context or {}, request.context)
        return asking(request, timeout_s)

    return ask


def query(**fields: Any) -> pb.RecommendRequest:
    return pb.RecommendRequest(placement="home-top", limit=1, **fields)


def refusal(ask: Any, **changes: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        ask(**changes)
    return raised.value.code(), raised.value.details()


def test_ranks_stamps_and_records_before_it_answers(shop, recommender, ask):
    generation = shop.publish()
    until(lambda: ask().model_version == shop.version(generation), "the model is served")
    reply = ask(context={"device": "ios"})
    (*_, slate) = recommender.recorded.slates()

    assert slate.request_id == reply.request_id
    assert slate.model_version == reply.model_version
    assert slate.model == shop.version(generation).partition("@")[0]
    assert (slate.placement, slate.variant, slate.policy) == ("home-top", "learnt", "thompson")
    assert (slate.unit, slate.user, slate.served_at) == ("unit", ANNA, START)
    assert [d.item_id for d in slate.deliveries] == [item.item_id for item in items_of(reply)]
    assert [d.delivery_id for d in slate.deliveries] == [item.delivery_id for item in items_of(reply)]
    for delivery, item in zip(slate.deliveries, items_of(reply), strict=True):
        assert KEYRING.verify(delivery.delivery_id, START, 60).position == item.position
        assert item.expected_value == pytest.approx(10.0 * item.predicted_click)
        assert 0 <= item.predicted_click <= 1


def test_records_the_factors_that_ranked_so_that_training_needs_no_catalogue(shop, recommender, ask):
    ask(context={"device": "web", "age": 55.0})
    (slate,) = recommender.recorded.slates()
    spec = shop.product.feature_spec("clicks")

    np.testing.assert_array_equal(slate.context_factor, spec.encode_context(slate.context))
    for delivery in slate.deliveries:
        np.testing.assert_array_equal(delivery.item_factor, spec.encode_item(delivery.metadata))


def test_prefers_what_was_learnt(shop, recommender, ask):
    generation = shop.publish(shop.learnt(2000))
    until(lambda: ask().model_version == shop.version(generation), "the model is served")
    shown = [item.item_id for _ in range(30) for item in items_of(ask(context={"device": "ios"}))]
    assert all(int(item_id[1:]) % 2 == 1 for item_id in shown)


def test_explores_from_the_prior_before_the_first_snapshot(shop, recommender, ask):
    replies = [ask() for _ in range(60)]
    assert {reply.model_version for reply in replies} == {shop.version(0)}
    assert len({item.item_id for reply in replies for item in items_of(reply)}) > 6


def test_a_policy_without_a_model_is_recorded_as_not_trainable_with_its_propensity(shop, recommender, ask):
    reply = ask(policy="chance", model="")
    (slate,) = recommender.recorded.slates()
    assert (reply.model_version, slate.model, slate.is_trainable) == ("", "", False)
    assert [d.propensity for d in slate.deliveries] == [pytest.approx(1 / 18)] * 3
    assert {item.predicted_click for item in items_of(reply)} == {None}


def test_shows_only_what_may_be_shown_and_names_the_candidates_it_ignored(shop, recommender, ask):
    reply = ask(candidates=["i0", "i1", "i2", "i3", "i4", "nowhere"], exclude=["i4"], restricted=True)
    assert {item.item_id for item in items_of(reply)} == {"i0", "i3"}
    assert list(reply.ignored) == ["i1", "i2", "nowhere"]
    assert items_of(ask(restricted=True)) == []
    assert len(ask(candidates=["i0"], restricted=False).item_id) == 3


def test_derives_hour_and_weekday_in_the_placements_time_zone(shop, recommender, ask):
    ask()
    (slate,) = recommender.recorded.slates()
    assert slate.context == {"hour": 17.0, "weekday": 3.0}


def test_the_request_wins_over_the_stored_context_and_over_the_clock(shop, recommender, ask):
    shop.contexts.put([(ANNA, {"device": "web", "age": 30.0, "hour": 1.0})])
    ask(context={"device": "ios"})
    ask(context={"hour": 4.0})
    first, second = recommender.recorded.slates()
    assert first.context == {"device": "ios", "age": 30.0, "hour": 17.0, "weekday": 3.0}
    assert second.context == {"device": "web", "age": 30.0, "hour": 4.0, "weekday": 3.0}


def test_without_consent_to_personalise_only_the_time_is_used_and_recorded(shop, recommender, ask):
    shop.contexts.put([(ANNA, {"age": 30.0})])
    ask(context={"device": "ios"}, personalise=False)
    (slate,) = recommender.recorded.slates()
    assert slate.context == {"hour": 17.0, "weekday": 3.0}
    expected = shop.product.feature_spec("clicks").encode_context({"hour": 17.0})
    np.testing.assert_array_equal(slate.context_factor, expected)


def test_without_consent_to_measure_nothing_is_recorded_under_the_person(shop, recommender, ask):
    reply = ask(context={"device": "ios"}, measure=False)
    (slate,) = recommender.recorded.slates()
    assert slate.request_id == reply.request_id
    assert (slate.unit, slate.user, slate.context) == ("", "", {})
    assert slate.is_trainable


@pytest.mark.parametrize(
    ("changes", "code", "hint"),
    [
        ({"limit": 0}, grpc.StatusCode.INVALID_ARGUMENT, "limit must be 1 to 10"),
        ({"limit": 11}, grpc.StatusCode.INVALID_ARGUMENT, "limit must be 1 to 10"),
        ({"context": {"age": "old"}}, grpc.StatusCode.INVALID_ARGUMENT, "'age' must be a number"),
        ({"placement": "nowhere"}, grpc.StatusCode.FAILED_PRECONDITION, "no placement 'nowhere'"),
        ({"policy": "nothing"}, grpc.StatusCode.FAILED_PRECONDITION, "no policy 'nothing'"),
        ({"model": "nobody"}, grpc.StatusCode.FAILED_PRECONDITION, "no model 'nobody'"),
        ({"model": ""}, grpc.StatusCode.FAILED_PRECONDITION, "names none"),
    ],
)
def test_refuses_what_it_cannot_rank_and_records_nothing(shop, recommender, ask, changes, code, hint):
    assert refusal(ask, **changes)[0] is code
    assert hint in refusal(ask, **changes)[1]
    assert recommender.recorded.slates() == []


def test_a_stored_context_that_does_not_fit_costs_itself_not_the_slate(shop, recommender, ask):
    shop.contexts.put([(ANNA, {"age": "unknown", "device": "web"})])
    assert len(ask(context={"device": "ios"}).item_id) == 3
    (slate,) = recommender.recorded.slates()
    assert slate.context == {"device": "ios", "hour": 17.0, "weekday": 3.0}


def test_an_item_that_does_not_fit_is_named_and_not_shown_by_that_model(shop, recommender, ask, caplog):
    shop.catalogue.put([Item("odd", {"price": "cheap"})])
    chosen = {"candidates": ["i0", "odd"], "restricted": True}
    until(lambda: len(ask(policy="chance", model="", **chosen).item_id) == 2, "the catalogue is served")
    reply = ask(**chosen)
    assert [item.item_id for item in items_of(reply)] == ["i0"]
    assert list(reply.ignored) == ["odd"]
    faults = [r.message for r in caplog.records if r.levelno == logging.ERROR]
    assert faults == ["model clicks cannot show item 'odd': 'price' must be a number"]


def test_swaps_models_and_catalogues_under_traffic_without_an_error(shop, recommender, ask):
    versions, faults, stopping = [], [], threading.Event()

    def shopper() -> None:
        while not stopping.is_set():
            try:
                versions.append(ask().model_version)
            except grpc.RpcError as error:
                faults.append(error)

    thread = threading.Thread(target=shopper)
    thread.start()
    for i in range(4):
        generation = shop.publish()
        shop.stock(20 + i)
        until(lambda g=generation: versions and versions[-1] == shop.version(g), "the newest model is served")
    stopping.set()
    thread.join(PATIENCE_S)
    assert faults == []
    assert list(dict.fromkeys(versions)) == [version for version in map(shop.version, range(5)) if version in versions]


def indefinite(shop: Shop) -> Statistics:
    good = shop.learnt()
    precision = good.precision.copy()
    precision[0, 0] = -0.5  # the prior of 1 would hide it
    return Statistics(precision, good.outcomes, good.weight, good.examples)


@pytest.mark.parametrize("fault", ["rubbish", "indefinite", "another schema", "another size", "on disk"])
def test_refuses_a_bad_snapshot_loudly_and_goes_on_with_the_last_good_one(shop, recommender, ask, caplog, fault):
    good = shop.publish()
    until(lambda: ask().model_version == shop.version(good), "the good model is served")
    if fault == "rubbish":
        shop.publish_bytes(b"\xff rubbish")
    elif fault == "indefinite":
        shop.publish(indefinite(shop))
    elif fault == "another schema":
        shop.publish(schema_id="000000000000")
    elif fault == "another size":
        shop.publish(Statistics.empty(3))
    else:
        (first,) = shop.directory.glob("models/*/1.snapshot")
        first.with_name("2.snapshot").write_bytes(first.read_bytes()[:-8])
        first.with_name("pointer").write_text("2")
        first.with_name("pointer").replace(first.with_name("newest"))  # at once: half of it would be refused too
    until(lambda: any("refused snapshot" in r.message for r in caplog.records), "the snapshot is refused")
    assert ask().model_version == shop.version(good)
    better = shop.publish()
    until(lambda: ask().model_version == shop.version(better), "the next good model is served")
    assert sum("refused snapshot" in r.message for r in caplog.records) == 1


def test_a_start_on_a_bad_snapshot_goes_back_to_the_newest_good_one(stage, shop, tmp_path, caplog):
    shop.publish()
    good = shop.publish()
    shop.publish_bytes(b"\xff rubbish")
    running = RunningRecommender(stage, shop, tmp_path / "spool").ready()
    with grpc.insecure_channel(running.target) as channel:
        asking = Asking(channel)
        reply = asking(query(policy="thompson", model="clicks"), 5)
        assert reply.model_version == shop.version(good)
    running.stop()


def test_a_start_with_nothing_but_bad_snapshots_does_not_serve_the_bare_prior(stage, shop, tmp_path):
    shop.publish_bytes(b"\xff rubbish")
    running = RunningRecommender(stage, shop, tmp_path / "spool").ready()
    with grpc.insecure_channel(running.target) as channel:
        asking = Asking(channel)
        with pytest.raises(grpc.RpcError) as raised:
            asking(query(policy="thompson", model="clicks"), 5)
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert len(asking(query(policy="chance"), 5).item_id) == 1
    running.stop()


def test_is_unavailable_when_the_spool_takes_no_record(shop, recommender, ask):
    shutil.rmtree(recommender.recorded.directory)
    assert refusal(ask)[0] is grpc.StatusCode.UNAVAILABLE


def test_records_nothing_for_a_caller_that_has_gone(stage, recommender, ask):
    stage.freeze(0.3)
    assert refusal(ask, timeout_s=0.05)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    reply = ask()
    assert [slate.request_id for slate in recommender.recorded.slates()] == [reply.request_id]


def test_ships_what_is_spooled_before_it_stops(stage, shop, tmp_path):
    with Tracking() as tracking:
        running = RunningRecommender(stage, shop, tmp_path / "spool", tracking=tracking.target).ready()
        with grpc.insecure_channel(running.target) as channel:
            asking = Asking(channel)
            served = [asking(query(policy="chance"), 5).request_id for _ in range(200)]
        running.stop()
        assert [slate.request_id for slate in tracking.slates()] == served


def test_is_serving_from_the_first_sight_of_its_models_until_it_drains(stage, shop, tmp_path):
    states = health_pb2.HealthCheckResponse
    shop.publish()
    (pointer,) = shop.directory.glob("models/*/newest")
    pointer.rename(tmp_path / "aside")
    pointer.mkdir()  # the store can be neither read nor taken for empty
    running = RunningRecommender(stage, shop, tmp_path / "spool")
    with grpc.insecure_channel(running.target) as channel:
        seen = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(seen).status == states.NOT_SERVING
        with pytest.raises(grpc.RpcError) as raised:
            Asking(channel)(query(policy="chance"), 5)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        pointer.rmdir()
        (tmp_path / "aside").rename(pointer)
        assert next(seen).status == states.SERVING
        draining = threading.Thread(target=running.stop)
        draining.start()
        assert next(seen).status == states.NOT_SERVING
        seen.cancel()
        draining.join(PATIENCE_S)


def test_serves_the_messages_that_reflection_names(recommender, channel):
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    (answer,) = reflection.ServerReflectionInfo(asked)
    assert "omakase.v1.Recommender" in {service.name for service in answer.list_services_response.service}


def test_facts_cross_the_wire_as_they_are(shop, recommender, ask):
    facts = {"device": "ios", "flag": True, "age": 41.5, "tags": ("a", "b"), "vector": (1.0, 2.0)}
    ask(context=facts)
    (slate,) = recommender.recorded.slates()
    assert json.dumps(slate.context, sort_keys=True) == json.dumps(
        facts | {"hour": 17.0, "weekday": 3.0}, sort_keys=True
    )
