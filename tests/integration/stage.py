"""A stage for services: their event loop in a thread, so that tests read from top to bottom; and a shop to serve."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import grpc
import numpy as np
import uvicorn

from gateway.admin import Admin
from gateway.app import Parts as GatewayParts
from gateway.app import new_app
from gateway.recommenders import Fleet, Recommender, Targets
from omakase.adapters.local.catalogue_store import SqliteCatalogueStore
from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.context_store import SqliteContextStore
from omakase.adapters.local.model_store import FileModelStore
from omakase.adapters.local.spool import Spool
from omakase.adapters.local.spool_reader import SpoolReader
from omakase.api_keys import Scope
from omakase.config import Product, parse_product
from omakase.core.catalogue import Item
from omakase.core.features import cross
from omakase.core.ids import Keyring
from omakase.core.posterior import Statistics
from omakase.core.propensities import SlatePropensities
from omakase.core.slates import Slate
from omakase.ports.model_store import Generation
from omakase.serving.access import ApiKeys, Gate
from omakase.serving.configuration import Configuration
from omakase.serving.http import listen, new_server
from omakase.serving.refusals import Refusals
from omakase.serving.shipper import Shipper
from omakase.settings import HttpSettings
from omakase.snapshots import Snapshot, encode_snapshot, model_key
from omakase.v1 import tracking_pb2, tracking_pb2_grpc
from omakase.wire import decode_propensities, decode_slate, is_discarded, is_propensities
from recommender.server import Parts as RecommenderParts
from recommender.server import RecommenderServer

T = TypeVar("T")

PATIENCE_S = 30.0
POLL_S = 0.02
START = 1_760_000_000.0  # Thursday 2025-10-09, 08:53 UTC

PRODUCT = """
placements:
  home-top:
    slots: 3
    max_limit: 10
    max_candidates: 20
    time_zone: Asia/Tokyo
    variants:
      control: {share: 5000, policy: chance}
      learnt: {share: 5000, policy: thompson, model: clicks}
  home-end:
    time_zone: Asia/Tokyo
    variants:
      learnt: {share: 10000, policy: thompson, model: clicks}
policies:
  chance: {type: uniform}
  thompson: {type: linear_ts, exploration: 0.3}
models:
  clicks: {features: taste}
features:
  taste:
    item:
      - {type: categorical, name: colour, vocabulary: [red, blue]}
      - {type: numeric, name: price, mean: 20, scale: 10}
    context:
      - {type: categorical, name: device, vocabulary: [ios, web]}
      - {type: numeric, name: age, mean: 40, scale: 15}
      - {type: cyclic, name: hour, period: 24}
"""
KEYS = f"""
signing_key: 1
keys: {{1: "{"11" * 16}"}}
pseudonym_key: "{"ff" * 16}"
"""
KEYRING = Keyring({1: b"\x11" * 16}, 1, b"\xff" * 16)


def until(is_true: Callable[[], bool], what: str) -> None:
    """Wait for a condition, not for a time."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline, f"still waiting until {what}"
        threading.Event().wait(0.005)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Stage:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stage")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end, from the test's thread."""
        return self.spawn(work).result(PATIENCE_S)

    def spawn(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def freeze(self, for_s: float) -> None:
        """Keep the loop from turning, as a long pause of the machine would."""
        self.soon(threading.Event().wait, for_s)

    def soon(self, call: Callable[..., object], *arguments: object) -> None:
        """Call on the loop; does not wait for it."""
        self._loop.call_soon_threadsafe(call, *arguments)


class Tracking(tracking_pb2_grpc.TrackingServicer):
    """The receiving end of delivery records: keeps what it is sent. A server of its own, in threads."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        tracking_pb2_grpc.add_TrackingServicer_to_server(self, self._server)
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def RecordSlates(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._bodies += request.slates
        return tracking_pb2.RecordSlatesResponse()

    def slates(self) -> list[Slate]:
        return [decode_slate(body) for body in self._bodies if not (is_propensities(body) or is_discarded(body))]


@dataclass
class Shop:
    """The stores of one shop, real ones, in a directory of their own."""

    directory: Path
    product: Product = field(default_factory=lambda: parse_product(PRODUCT))
    file: Path | None = None

    def __post_init__(self) -> None:
        self.clock = MappedClock.create(self.directory / "clock", START)
        self.catalogue = SqliteCatalogueStore(self.directory / "catalogue.db")
        self.contexts = SqliteContextStore(self.directory / "contexts.db")
        self.models = FileModelStore(self.directory / "models")

    def configuration(self) -> Configuration:
        """For one process: from its file, if there is one."""
        return Configuration.fixed(self.product) if self.file is None else Configuration.of(self.file, POLL_S)

    def stock(self, n: int = 20) -> None:
        """Items i0, i1, …; i1 sold out and i2 hidden."""
        self.catalogue.put(
            Item(
                f"i{i}",
                {"colour": "red" if i % 2 else "blue", "price": float(i)},
                value=10.0,
                in_stock=i != 1,
                hidden=i == 2,
            )
            for i in range(n)
        )

    def publish(self, statistics: Statistics | None = None, **changes: Any) -> Generation:
        """A snapshot of the model `clicks`, as the trainer would write it."""
        spec = self.product.feature_spec("clicks")
        fields = {"model": "clicks", "schema_id": spec.schema_id, "statistics": statistics or self.learnt(), **changes}
        return self.publish_bytes(encode_snapshot(Snapshot(**fields)))

    def publish_bytes(self, body: bytes) -> Generation:
        key = model_key("clicks", self.product.feature_spec("clicks").schema_id)
        return self.models.publish(key, body, if_generation=self.models.generation(key))

    def learnt(self, n: int = 500) -> Statistics:
        """What is learnt where red is clicked and blue is not."""
        spec = self.product.feature_spec("clicks")
        rng = np.random.default_rng(7)
        red = rng.random(n) < 0.5
        x = np.array(
            [
                cross(
                    spec.encode_context({"device": "ios", "hour": float(rng.integers(24))}),
                    spec.encode_item({"colour": "red" if is_red else "blue", "price": float(rng.normal(20, 10))}),
                )
                for is_red in red
            ]
        )
        clicks = red.astype(np.float64)
        return Statistics.of(x, {"click": clicks, "reward": clicks}, np.ones(n))

    def version(self, generation: int) -> str:
        return f"clicks/{self.product.feature_spec('clicks').schema_id}@{generation}"


class Recorded:
    """A spool, and a view of it that takes nothing out. Without tracking its shipper has another, empty spool."""

    def __init__(self, directory: Path, tracking: str = "") -> None:
        self.directory = directory
        self.spool = Spool(directory)
        self._reader = SpoolReader(directory)
        shipped = self._reader if tracking else SpoolReader(directory / "none")
        self.shipper = Shipper(shipped, tracking or "127.0.0.1:1", directory / "refused")

    def slates(self) -> list[Slate]:
        records = self._reader.read(100_000)
        return [decode_slate(record) for record in records if not (is_propensities(record) or is_discarded(record))]

    def propensities(self) -> list[SlatePropensities]:
        return [decode_propensities(record) for record in self._reader.read(100_000) if is_propensities(record)]


class RunningRecommender:
    """A recommender in this process, at `target`."""

    def __init__(
        self, stage: Stage, shop: Shop, directory: Path, address: str = "127.0.0.1:0", tracking: str = ""
    ) -> None:
        self._stage = stage
        self.recorded = Recorded(directory, tracking)
        self._server = stage.run(self._start(shop, address))
        self.target = f"127.0.0.1:{self._server.port}"

    async def _start(self, shop: Shop, address: str) -> RecommenderServer:
        parts = RecommenderParts(
            configuration=shop.configuration(),
            keyring=KEYRING,
            clock=shop.clock,
            catalogue=shop.catalogue,
            models=shop.models,
            contexts=shop.contexts,
            deliveries=self.recorded.spool,
            shipper=self.recorded.shipper,
            rng=np.random.default_rng(3),
        )
        server = RecommenderServer(parts, address, POLL_S)
        await server.start()
        return server

    def ready(self) -> Self:
        self._stage.run(self._server.ready())
        return self

    def stop(self, within_s: float = 1.0) -> None:
        self._stage.run(self._server.drain(within_s))


class Visitor:
    """Who asks a gateway over HTTP, one connection a request."""

    def __init__(self, port: int) -> None:
        self.port = port

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            plain = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body, plain | dict(headers or {}))
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def ask(self, **fields: Any) -> dict[str, Any]:
        """A recommendation that must succeed."""
        status, _, body = self.send("POST", "/v1/recommendations", json.dumps(fields).encode())
        assert status == 200, body
        answer: dict[str, Any] = json.loads(body)
        return answer

    def unresolved(self) -> set[str]:
        """The references of the OpenAPI document that lead nowhere."""
        document = json.loads(self.send("GET", "/openapi.json")[2])
        wanted: set[str] = set()

        def collect(part: Any) -> None:
            if isinstance(part, dict):
                wanted.update([part["$ref"]] if "$ref" in part else [])
                part = list(part.values())
            for element in part if isinstance(part, list) else []:
                collect(element)

        collect(document)
        return wanted - {f"#/components/schemas/{name}" for name in document.get("components", {}).get("schemas", {})}

    def is_welcome(self) -> bool:
        try:
            return self.send("GET", "/readyz")[0] == 200
        except OSError:
            return False


class RunningGateway(Visitor):
    """A gateway in this process behind a real HTTP server, and who asks it."""

    def __init__(
        self,
        stage: Stage,
        shop: Shop,
        directory: Path,
        target: str,
        timeout_s: float = 2.0,
        tracking: str = "",
        grace_s: float = 30.0,
        max_requests: int = 64,
        **operators: Any,
    ) -> None:
        """`operators`: what `/admin/v1` has besides."""
        self.recorded = Recorded(directory, tracking)
        self._max_requests = max_requests
        self.keys = directory / "keys.yaml"
        self.keys.write_text(KEYS)
        sock = listen("127.0.0.1", 0)
        super().__init__(int(sock.getsockname()[1]))
        self._server = stage.run(self._new_server(shop, target, timeout_s, grace_s, operators))
        self._serving = stage.spawn(self._server.serve(sockets=[sock]))
        until(lambda: self._server.started or self._serving.done(), "the gateway listens")

    async def _new_server(
        self, shop: Shop, target: str, timeout_s: float, grace_s: float, operators: Mapping[str, Any]
    ) -> uvicorn.Server:
        configuration, targets = shop.configuration(), Targets({"main": target})
        keys, refusals = ApiKeys(self.keys), Refusals()
        stores = {"clock": shop.clock, "catalogue": shop.catalogue, "models": shop.models, "contexts": shop.contexts}
        common = {"configuration": configuration, "keyring": KEYRING, "check": targets.check}
        parts = GatewayParts(
            configuration=configuration,
            keyring=KEYRING,
            clock=shop.clock,
            catalogue=shop.catalogue,
            models=shop.models,
            deliveries=self.recorded.spool,
            shipper=self.recorded.shipper,
            fleet=Fleet(targets, lambda name, targets, _: Recommender(name, targets, timeout_s)),
            storefronts=Gate(keys, Scope.STOREFRONT, refusals, is_open=True),
            operators=Admin(gate=Gate(keys, Scope.ADMIN, refusals), **{**common, **stores, **operators}),
            max_requests=self._max_requests,
            poll_s=POLL_S,
            grace_s=grace_s,
            drain_s=1.0,
        )
        return new_server(new_app(parts), HttpSettings(config="", keys=""), refusals)

    def stop(self) -> None:
        self._server.should_exit = True
        self._serving.result(PATIENCE_S)


def someone_in(gateway: RunningGateway, variant: str) -> str:
    return next(
        person
        for person in (f"p{i}" for i in range(100))
        if gateway.ask(placement="home-top", anonymous_id=person)["variant"] == variant
    )
