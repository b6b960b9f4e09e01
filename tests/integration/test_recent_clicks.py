"""What a person clicks is known to their next request, and to whoever encodes its record again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omakase import adapters
from omakase.config import parse_product
from omakase.core.catalogue import Item
from omakase.core.events import Event
from omakase.core.slates import Slate
from omakase.ports.delivery_store import StoredSlate
from omakase.repairs.reencoding import Encoder
from omakase.settings import TrackingSettings
from omakase.wire import SpooledSlate, encode_slate
from tests.integration.stage import KEYRING, KEYS, PRODUCT, RunningGateway, RunningRecommender, Shop, Stage, until
from tracking.events import Reader
from tracking.join import parked
from tracking.service import Service, Stores, new_service

STYLES = {f"i{i}": (float(i + 1), -float(i % 3)) for i in range(20)}
RECENT = PRODUCT.replace(
    "    context:\n",
    "      - {type: embedding, name: style, dimensions: 2, clip: 50}\n"
    "    context:\n"
    "      - {type: recent, name: taste, of: style, dimensions: 2, last: 2, clip: 50}\n",
)


class Market:
    """A gateway, a recommender and tracking that share what is known of people."""

    def __init__(self, stage: Stage, directory: Path, text: str) -> None:
        self._stage = stage
        self.shop = Shop(directory, parse_product(text))
        self.shop.catalogue.put(Item(name, {"style": style}) for name, style in STYLES.items())
        self.recommender = RunningRecommender(stage, self.shop, directory / "spool").ready()
        self.gateway = RunningGateway(stage, self.shop, directory / "gateway", self.recommender.target)
        self._reader = Reader(KEYRING, self.shop.product.known_event_types(), 3600.0, os.urandom)
        self.service = self._new_tracking(directory)
        self.service.start()

    def _new_tracking(self, directory: Path) -> Service:
        (directory / "keys.yaml").write_text(KEYS)
        names = ("config", "grpc_address", "bus", "deliveries", "contexts")
        settings = TrackingSettings(keys=str(directory / "keys.yaml"), sweep_s=0.01, **dict.fromkeys(names, ""))
        database = f"sqlite:{directory}/deliveries.db"
        stores = Stores(
            adapters.open_event_bus(f"sqlite:{directory}/bus.db"),
            adapters.open_delivery_store(database),
            adapters.open_touches(database),
            adapters.open_orders(database),
            adapters.open_credits(database),
            self.shop.contexts,
            adapters.open_forgotten(database),
            self.shop.clock,
        )
        return new_service(settings, self.shop.product, stores)

    def stop(self) -> None:
        self.gateway.stop()
        self.recommender.stop()
        self.service.stop()

    def ask(self, **fields: Any) -> Slate:
        """A slate as it was recorded, which tracking has."""
        slate = self.ask_unrecorded(**fields)
        self._stage.run(self.service.intake.record([SpooledSlate.of(encode_slate(slate))]))
        return slate

    def ask_unrecorded(self, **fields: Any) -> Slate:
        answer = self.gateway.ask(placement="home-end", user_id="u1", **fields)
        assert not answer["fallback"]
        (*_, slate) = self.recommender.recorded.slates()
        return slate

    def click(self, slate: Slate, position: int) -> str:
        """Returns which item it was."""
        self._stage.run(self.service.intake.accept([self.read(slate, position)]))
        return slate.deliveries[position - 1].item_id

    def read(self, slate: Slate, position: int) -> Event:
        sent = {"delivery_id": slate.deliveries[position - 1].delivery_id, "type": "click"}
        return self._reader.read(sent, self.shop.clock.now())

    def clicked(self) -> tuple[str, ...]:
        person = KEYRING.pseudonym("user", "u1")
        known = self.shop.contexts.find([person]).get(person)
        return () if known is None else known.clicked


@pytest.fixture
def market(stage: Stage, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Market]:
    market = Market(stage, tmp_path, getattr(request, "param", RECENT))
    yield market
    market.stop()


def mean(*item_ids: str) -> tuple[float, ...]:
    return tuple(np.mean([STYLES[item_id] for item_id in item_ids], axis=0).tolist())


def test_the_next_slate_records_the_mean_of_what_was_clicked_last(market: Market) -> None:
    first = market.ask()
    assert "taste" not in first.context
    items = [market.click(first, position) for position in (1, 2, 3)]
    until(lambda: len(market.clicked()) == 3, "the clicks are known")
    second = market.ask()
    assert second.context["taste"] == mean(*items[1:])
    assert second.context_factor[:2].tolist() == list(mean(*items[1:]))


def test_the_record_encodes_again_to_what_ranked(market: Market) -> None:
    market.shop.contexts.put([(KEYRING.pseudonym("user", "u1"), {"age": 30.0})])
    first = market.ask()
    market.click(first, 1)
    until(lambda: len(market.clicked()) == 1, "the click is known")
    slate = market.ask(context={"device": "ios"})
    assert {"taste", "age", "device"} <= slate.context.keys()
    again = Encoder(market.shop.product.feature_spec("clicks"))
    logged = json.dumps({name: list(v) if isinstance(v, tuple) else v for name, v in slate.context.items()})
    assert again.context(logged).tobytes() == slate.context_factor.tobytes()


def test_a_request_goes_before_what_was_clicked(market: Market) -> None:
    market.click(market.ask(), 1)
    until(lambda: len(market.clicked()) == 1, "the click is known")
    assert market.ask(context={"taste": [3.0, 4.0]}).context["taste"] == (3.0, 4.0)


def test_without_consent_nothing_is_used_and_nothing_noted(market: Market) -> None:
    market.click(market.ask(), 1)
    until(lambda: len(market.clicked()) == 1, "the click is known")
    slate = market.ask(consent={"personalise": False})
    assert "taste" not in slate.context
    assert not slate.context_factor[:2].any()
    unmeasured = market.ask(consent={"measure": False})
    market.click(unmeasured, 2)
    market.click(market.ask(), 3)
    until(lambda: len(market.clicked()) > 1, "a later click is known")
    assert len(market.clicked()) == 2


@pytest.mark.parametrize("market", [PRODUCT], indirect=True)
def test_nothing_is_noted_where_no_feature_asks_for_it(market: Market) -> None:
    assert not market.service.witness.notes_clicks
    slate = market.ask()
    market.click(slate, 1)
    assert market.clicked() == ()
    assert "taste" not in slate.context


def test_what_waited_for_its_record_is_known_after_a_drain(market: Market) -> None:
    market.service.stop()
    slate = market.ask_unrecorded()
    stored = StoredSlate(slate.request_id, slate.served_at, encode_slate(slate))
    event = market.read(slate, 1)
    market.service.stores.deliveries.park([parked(event)])
    market.service.stores.deliveries.put([stored])
    market.service.drain()
    assert market.clicked() == (slate.deliveries[0].item_id,)
