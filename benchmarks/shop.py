"""The shop that is measured: 1000 items, 35 dimensions, one learnt variant, all of tracking and learning on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.connection import request
from benchmarks.load import run
from omakase import models
from omakase.adapters import open_catalogue_store, open_model_store
from omakase.core.catalogue import Item
from omakase.deployment import Deployment
from omakase.supervisor import Supervisor

ITEMS = 1000
STYLE = 6
PRODUCT = f"""
placements:
  home-top:
    slots: 10
    max_limit: 50
    variants:
      learnt: {{share: 10000, policy: thompson, model: home}}
policies:
  thompson: {{type: linear_ts}}
models:
  home: {{features: home}}
features:
  home:
    item:
      - {{type: embedding, name: style, dimensions: {STYLE}}}
    context:
      - {{type: categorical, name: device, vocabulary: [ios, android, web, tv]}}
"""
LEARNING: Mapping[str, float] = {"session_gap_s": 1, "session_max_s": 10, "publish_interval_s": 1}
_DEVICES = ("ios", "android", "web", "tv")


def items(dimensions: int) -> Iterator[Item]:
    """ITEMS of them, with a style of so many dimensions."""
    rng = np.random.default_rng(1)
    return (Item(f"i{i}", {"style": tuple(rng.normal(size=dimensions))}, value=10.0) for i in range(ITEMS))


def asks(people: int = 997) -> bytes:
    """Bodies for slates of ten at `home-top`, a line for each person."""
    bodies = (
        {"placement": "home-top", "anonymous_id": f"a{i}", "context": {"device": _DEVICES[i % 4]}, "limit": 10}
        for i in range(people)
    )
    return b"".join(json.dumps(body).encode() + b"\n" for body in bodies)


def teach(up: Supervisor, slates: int, patience_s: float = 60.0) -> None:
    """Show so many slates, click the second of each, and wait until what was learnt of them is served.

    Raises: TimeoutError.
    """
    wanted = [request(up.gateway_url, "/v1/recommendations", body) for body in asks(slates).splitlines()]
    shown = [json.loads(body)["items"] for body in run(up.gateway_url, wanted, 8, keep_bodies=True).bodies]
    events = [{"delivery_id": item["delivery_id"], "type": "impression"} for items in shown for item in items]
    events += [{"delivery_id": items[1]["delivery_id"], "type": "click"} for items in shown]
    posts = [json.dumps({"events": events[i : i + 100]}).encode() for i in range(0, len(events), 100)]
    run(up.tracking_url, [request(up.tracking_url, "/v1/events", body) for body in posts], 1)
    store, deadline = open_model_store(up.deployment.uris.models), time.monotonic() + patience_s
    while not any(models.newest(store, key).snapshot.statistics.examples for key in models.keys(store)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing was learnt within {patience_s:g} s")
        time.sleep(0.05)


@contextmanager
def running(
    learning: Mapping[str, float] = LEARNING,
    more: str = "",
    tuning: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    product: str = PRODUCT,
    catalogue: Iterable[Item] | None = None,
    ready_s: float = 60.0,
) -> Iterator[Supervisor]:
    """The whole service on a directory of its own, thrown away afterwards. `more` goes into its configuration.

    Another `product` comes with its own catalogue.
    """
    with TemporaryDirectory(prefix="omakase-bench-") as directory:
        config = Path(directory) / "product.yaml"
        config.write_text(f"{product}learning: {json.dumps(dict(learning))}\n{more}")
        deployment = Deployment(config, Path(directory) / "data", tuning=tuning or {})
        open_catalogue_store(deployment.uris.catalogue).put(items(STYLE) if catalogue is None else catalogue)
        with Supervisor(deployment) as supervisor:
            supervisor.wait_ready(ready_s)
            yield supervisor
