"""The shop that is measured: 1000 items, 35 dimensions, one learnt variant, all of tracking and learning on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from omakase.adapters import open_catalogue_store
from omakase.core.catalogue import Item
from omakase.deployment import Deployment
from omakase.supervisor import Supervisor

ITEMS = 1000
PRODUCT = """
placements:
  home-top:
    slots: 10
    max_limit: 50
    variants:
      learnt: {share: 10000, policy: thompson, model: home}
policies:
  thompson: {type: linear_ts}
models:
  home: {features: home}
features:
  home:
    item:
      - {type: embedding, name: style, dimensions: 6}
    context:
      - {type: categorical, name: device, vocabulary: [ios, android, web, tv]}
"""
LEARNING: Mapping[str, float] = {"session_gap_s": 1, "session_max_s": 10, "publish_interval_s": 1}


@contextmanager
def running(
    learning: Mapping[str, float] = LEARNING, more: str = "", tuning: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[Supervisor]:
    """The whole service on a directory of its own, thrown away afterwards. `more` goes into its configuration."""
    rng = np.random.default_rng(1)
    with TemporaryDirectory(prefix="omakase-bench-") as directory:
        config = Path(directory) / "product.yaml"
        config.write_text(f"{PRODUCT}learning: {json.dumps(dict(learning))}\n{more}")
        deployment = Deployment(config, Path(directory) / "data", tuning=tuning or {})
        items = (Item(f"i{i}", {"style": tuple(rng.normal(size=6))}, value=10.0) for i in range(ITEMS))
        open_catalogue_store(deployment.uris.catalogue).put(items)
        with Supervisor(deployment) as supervisor:
            supervisor.wait_ready(timeout_s=60)
            yield supervisor
