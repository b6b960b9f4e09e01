"""Every status that the OpenAPI documents declare, of every route, as the live services answer it."""

from __future__ import annotations

import http.client
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from omakase.api_keys import Scope
from omakase.core.errors import Unavailable
from omakase.deployment import Deployment
from omakase.issuing import create_key
from omakase.ports.model_store import ABSENT, Generation, ModelKey
from omakase.premises import Premises
from omakase.serving.configuration_file import digest_of
from omakase.snapshots import model_key
from tests.integration.backoffice import ADMIN, Operator
from tests.integration.stage import PATIENCE_S, PRODUCT, START, RunningGateway, Shop, Stage, Visitor, free_port
from tests.integration.survey import Survey
from tests.integration.till import Till

EXPERIMENT = """
experiments:
  brave: {placements: [home-top], variants: {bold: {share: 500, policy: chance}}}
"""
ORDER = {"user_id": "u1", "item_id": "shoe", "order_id": "o1", "value": 80.0, "currency": "CHF", "occurred_at": START}
MODEL = f"{ADMIN}/models/{{name}}"
ACTIONS = f"GET {MODEL}:snapshot", f"POST {MODEL}:freeze", f"POST {MODEL}:rollback", f"POST {MODEL}:resume"


class Away:
    """Any store, behind a network that is down."""

    def __getattr__(self, name: str) -> Any:
        def ask(*_: object) -> None:
            raise Unavailable("the store is away: try again")

        return ask


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """With one model that is learnt, and another of two schemas whose snapshots nobody can read."""
    file = tmp_path / "configured.yaml"
    file.write_text(PRODUCT + EXPERIMENT)
    shop = Shop(tmp_path, file=file)
    shop.stock()
    shop.publish()
    shop.publish()
    for schema in ("a", "b"):
        shop.models.publish(model_key("twice", schema), b"no snapshot", if_generation=ABSENT)
    return shop


@pytest.fixture
def whole(stage: Stage, shop: Shop, tmp_path: Path) -> Iterator[RunningGateway]:
    premises = Premises.in_directory(Deployment(tmp_path / "c", tmp_path / "data"), shop.clock)
    running = RunningGateway(stage, shop, tmp_path / "whole", f"127.0.0.1:{free_port()}", premises=premises)
    yield running
    running.stop()


@pytest.fixture
def bare(stage: Stage, tmp_path: Path) -> Iterator[RunningGateway]:
    """Without what a deployment may be without; and its model cannot be read."""
    (tmp_path / "small").mkdir()
    shop = Shop(tmp_path / "small")
    shop.publish()
    shop.publish_bytes(b"no snapshot")
    running = RunningGateway(stage, shop, tmp_path / "bare", f"127.0.0.1:{free_port()}", contexts=None)
    yield running
    running.stop()


@pytest.fixture
def cut_off(stage: Stage, tmp_path: Path) -> Iterator[RunningGateway]:
    """All that it keeps is away, the file of its configuration too. What it has is named `clicks`, whatever it is."""
    (tmp_path / "gone").mkdir()
    file = tmp_path / "gone" / "configured.yaml"
    file.write_text((PRODUCT + EXPERIMENT).replace("home-top", "clicks").replace("brave", "clicks"))
    shop, away = Shop(tmp_path / "gone", file=file), Away()
    shop.catalogue = shop.models = shop.contexts = away  # type: ignore[assignment]
    running = RunningGateway(stage, shop, tmp_path / "cut-off", f"127.0.0.1:{free_port()}", premises=away)
    file.unlink()
    yield running
    running.stop()


def test_a_gateway_answers_with_every_status_that_its_document_declares(whole, bare, cut_off, shop):
    survey = Survey(whole, Operator(whole).key, name="clicks", item_id="i3")
    for path in ("/livez", "/readyz", "/metrics"):
        survey.see(200, f"GET {path}")
    see_recommendations(survey, create_key(whole.keys, "shop", Scope.STOREFRONT))
    see_what_is_configured(survey, shop)
    see_items(survey)
    see_people(survey)
    see_models(survey, shop)
    survey.see_refusals(whole.keys, "/v1", Scope.STOREFRONT, Scope.SERVER)
    survey.see_refusals(whole.keys, ADMIN, Scope.ADMIN, Scope.STOREFRONT)
    told = {"at": bare, "key": Operator(bare).key}
    survey.see(409, f"POST {ADMIN}/models/{{name}}:rollback", {}, **told)
    survey.see_all(501, b'{"user_id": "u1"}', headers={"If-Match": "any"}, **told)
    see_outage(survey, cut_off, shop)
    assert survey.unseen() == set()


def see_recommendations(survey: Survey, key: str) -> None:
    for status, placement in ((200, "home-top"), (404, "nowhere"), (422, "")):
        survey.see(status, *slate_at(placement), key=key)
        survey.see(status, *page_of(placement), key=key)


def slate_at(placement: str) -> tuple[str, dict[str, Any]]:
    return "POST /v1/recommendations", {"placement": placement, "anonymous_id": "a1"}


def page_of(placement: str) -> tuple[str, dict[str, Any]]:
    return "POST /v1/recommendations:batch", {"slates": [{"placement": placement}], "anonymous_id": "a1"}


def see_what_is_configured(survey: Survey, shop: Shop) -> None:
    for resource, known in (("placements", "home-top"), ("experiments", "brave")):
        survey.see(200, f"GET {ADMIN}/{resource}")
        survey.see(200, f"GET {ADMIN}/{resource}/{{name}}", name=known)
        survey.see(404, f"GET {ADMIN}/{resource}/{{name}}", name="unknown")
    survey.see(200, f"GET {ADMIN}/configuration")
    text = shop.file.read_bytes()
    put, matching = f"PUT {ADMIN}/configuration", {"If-Match": f'"{digest_of(text)}"'}
    survey.see(428, put, text)
    survey.see(412, put, text + b"\n", headers={"If-Match": '"another"'})
    survey.see(422, put, b"nonsense: 1", headers=matching)
    survey.see(200, put, text + b"\n", headers=matching)


def see_items(survey: Survey) -> None:
    items, one = f"{ADMIN}/items", f"{ADMIN}/items/{{item_id}}"
    survey.see(200, f"GET {items}")
    survey.see(422, f"GET {items}", **{items: "?limit=0"})
    survey.see(200, f"GET {one}")
    survey.see(404, f"GET {one}", item_id="none")
    survey.see(200, f"PUT {one}", {"value": 1.5})
    survey.see(422, f"PUT {one}", {"value": "dear"})
    survey.see(200, f"PATCH {one}", {"hidden": True})
    survey.see(404, f"PATCH {one}", {"hidden": True}, item_id="none")
    survey.see(422, f"PATCH {one}", {"hidden": "yes"})
    for action in ("bulk", "patch"):
        survey.see(200, f"POST {items}:{action}", b'{"item_id": "i3"}\n')


def see_people(survey: Survey) -> None:
    contexts = f"POST {ADMIN}/contexts"
    survey.see(200, f"{contexts}:put", {"user_id": "ada", "context": {"device": "ios"}})
    survey.see(200, f"{contexts}:get", {"user_id": "ada"})
    survey.see(404, f"{contexts}:get", {"user_id": "bob"})
    survey.see(204, f"{contexts}:delete", {"user_id": "ada"})
    survey.see(200, f"POST {ADMIN}/users:forget", {"user_id": "ada"})
    for route in (f"{contexts}:get", f"{contexts}:delete", f"POST {ADMIN}/users:forget"):
        survey.see(422, route, {})


def see_models(survey: Survey, shop: Shop) -> None:
    survey.see(200, f"GET {ADMIN}/models")
    for route in (f"GET {MODEL}", *ACTIONS):
        body = {"to": 1} if "rollback" in route else None
        survey.see(200, route, body)
        survey.see(404, route, body, name="none")
        survey.see(422, route, body, name="twice")
    for route in ACTIONS:
        if "rollback" not in route:
            survey.see(409, route, name="twice/a")
    snapshot = shop.models.read(clicks_of(shop), Generation(1))
    survey.see(200, f"PUT {MODEL}", snapshot)
    survey.see(404, f"PUT {MODEL}", snapshot, name="none")
    survey.see(422, f"PUT {MODEL}", b"no snapshot")
    shop.publish_bytes(b"no snapshot")
    survey.see(409, f"PUT {MODEL}", snapshot)


def clicks_of(shop: Shop) -> ModelKey:
    return model_key("clicks", shop.product.feature_spec("clicks").schema_id)


def see_outage(survey: Survey, cut_off: RunningGateway, shop: Shop) -> None:
    survey.see(503, "GET /readyz", at=cut_off)
    survey.see(503, *slate_at("clicks"), at=cut_off)
    survey.see(503, *page_of("clicks"), at=cut_off)
    told = {"at": cut_off, "key": Operator(cut_off).key}
    person, item, some = b'{"user_id": "u1"}', b'{"item_id": "i3", "hidden": true}', {"If-Match": "any"}
    survey.see(503, f"POST {ADMIN}/contexts:put", {"user_id": "u1", "context": {}}, **told)
    survey.see(503, f"PUT {ADMIN}/models/{{name}}", shop.models.read(clicks_of(shop), Generation(1)), **told)
    survey.see(503, f"GET {ADMIN}/models", **told)
    for route in (f"GET {MODEL}", *ACTIONS):
        survey.see(503, route, {}, **told)
    for resource, body in (("items", item), ("contexts:get", person), ("contexts:delete", person), ("users", person)):
        survey.see_all(503, body, f"{ADMIN}/{resource}", **told)
    for resource in ("placements", "experiments", "configuration"):
        survey.see_all(503, b"any", f"{ADMIN}/{resource}", headers=some, **told)


def test_tracking_answers_with_every_status_that_its_document_declares(stage, tmp_path):
    till = Till(stage, tmp_path, store_timeout_s=0.05)
    slate = till.record(till.slate())
    shown = f"?d={slate.deliveries[0].delivery_id}"
    survey = Survey(till, till.key, **{"/v1/pixel.gif": shown})
    for path in ("/livez", "/readyz", "/metrics"):
        survey.see(200, f"GET {path}")
    survey.see(202, "POST /v1/events", {"events": []})
    survey.see(202, "POST /v1/conversions", ORDER)
    survey.see(200, "GET /v1/pixel.gif")
    survey.see(422, "POST /v1/events", {"events": [0] * 1001})
    survey.see(422, "POST /v1/conversions", {"conversions": [0] * 1001})
    survey.see(422, "GET /v1/pixel.gif", **{"/v1/pixel.gif": "?d=nothing"})
    survey.see_refusals(Path(till.settings.keys), "/v1", Scope.SERVER, Scope.STOREFRONT)
    with locked(tmp_path / "bus.db"), locked(tmp_path / "deliveries.db"):
        clicked = {"delivery_id": slate.deliveries[1].delivery_id, "type": "click"}
        survey.see(503, "POST /v1/events", {"events": [clicked]})
        survey.see(503, "POST /v1/conversions", {**ORDER, "order_id": "o2"})
        survey.see(503, "GET /v1/pixel.gif")
    survey.see(503, "GET /readyz", at=Leaving(till))
    assert survey.unseen() == set()


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Somebody else writes to it all the while."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


class Leaving(Visitor):
    """Asks again and again over one connection, until a service that is told to stop says goodbye over it."""

    def __init__(self, till: Till) -> None:
        super().__init__(till.port)
        self._till = till

    def send(self, method: str, path: str, *_: object) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with closing(connection), ThreadPoolExecutor(1) as aside:
            connection.connect()
            closed, answer = aside.submit(self._till.close), b""
            status, headers = 200, {}
            while status == 200:
                connection.request(method, path)
                response = connection.getresponse()
                status, headers, answer = response.status, dict(response.getheaders()), response.read()
            closed.result(PATIENCE_S)
        return status, headers, answer
