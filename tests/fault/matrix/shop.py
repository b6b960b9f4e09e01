"""The shop that every row runs: two models, one variant without, conversions that pay, short sessions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from omakase.adapters import open_catalogue_store
from omakase.core.catalogue import Item
from omakase.deployment import Deployment

PLACEMENT = "home-top"
# What each kind of event is worth there, once more for the reference; and the models that learn from conversions.
REWARDS = {"impression": -0.05, "click": 1.0, "save": 0.25, "conversion": 0.5}
CONVERTING = ("bold",)
PRODUCT = f"""
placements:
  {PLACEMENT}:
    slots: 3
    rewards: {{impression: -0.05, click: 1, save: 0.25, conversion: 0.5}}
    variants:
      plain: {{share: 4000, policy: thompson, model: clicks}}
      bold: {{share: 4000, policy: thompson, model: bold}}
      chance: {{share: 2000, policy: chance}}
policies:
  thompson: {{type: linear_ts}}
  chance: {{type: uniform}}
models:
  clicks: {{features: taste}}
  bold: {{features: looks, conversions: true}}
features:
  taste:
    item:
      - {{type: categorical, name: colour, vocabulary: [red, blue]}}
      - {{type: numeric, name: price, mean: 20, scale: 10}}
    context:
      - {{type: categorical, name: device, vocabulary: [ios, web]}}
  looks:
    item:
      - {{type: hashed, name: colour, buckets: 4}}
      - {{type: numeric, name: price, mean: 20, scale: 10}}
event_types: [save]
learning: {{session_gap_s: 1, session_max_s: 5, publish_interval_s: 0.5}}
"""
TUNING = {
    "batch": {"load_s": 0.5, "aggregate_s": 5.0},
    "trainer": {"tick_s": 0.5},
    "recommender": {"poll_s": 0.2},
}


def open_shop(directory: Path, adapters: Mapping[str, str] | None = None) -> Deployment:
    """A data directory with a dozen items, not started; `adapters` as in the configuration."""
    config, adapters = directory / "product.yaml", adapters or {}
    config.write_text(f"{PRODUCT}adapters: {json.dumps(adapters)}\n")
    deployment = Deployment(config, directory / "data", tuning=TUNING)
    deployment.settle(adapters)
    items = [Item(f"i{i}", {"price": 3.0 * i, "colour": "red" if i % 2 else "blue"}, value=10.0) for i in range(12)]
    open_catalogue_store(deployment.uris.catalogue).put(items)
    return deployment
