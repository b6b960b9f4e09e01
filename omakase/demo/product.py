"""What the demo tells Omakase: its configuration, as a storefront would write it, and nothing of the hidden tastes."""

from __future__ import annotations

from typing import Any

import yaml

from omakase.demo.market import CATEGORIES, DEVICES, EXAMINATION, SEGMENTS, STYLE_DIMENSIONS

PLACEMENT = "home-top"
CONTROL = "uniform"
TREATMENT = "learnt"
MODEL = "home"
SLOTS = len(EXAMINATION)


def product() -> dict[str, Any]:
    """The configuration as a document of `omakase.config.schema.Product`."""
    return {
        "placements": {
            PLACEMENT: {
                "slots": SLOTS,
                "rewards": {"click": 1.0},
                "variants": {
                    CONTROL: {"share": 5000, "policy": "chance"},
                    TREATMENT: {"share": 5000, "policy": "thompson", "model": MODEL},
                },
            }
        },
        "features": {
            MODEL: {
                "item": [
                    {"type": "categorical", "name": "category", "vocabulary": list(CATEGORIES)},
                    {"type": "numeric", "name": "log_price", "mean": 3.3, "scale": 0.6, "clip": 3.0},
                    {"type": "embedding", "name": "style", "dimensions": STYLE_DIMENSIONS, "clip": 3.0},
                ],
                "context": [
                    {"type": "categorical", "name": "segment", "vocabulary": list(SEGMENTS)},
                    {"type": "categorical", "name": "device", "vocabulary": list(DEVICES)},
                    {"type": "numeric", "name": "age", "mean": 40.0, "scale": 12.0, "clip": 3.0},
                ],
            }
        },
        "models": {MODEL: {"features": MODEL, "prior_precision": 1.0}},
        "policies": {"chance": {"type": "uniform"}, "thompson": {"type": "linear_ts", "exploration": 0.3}},
        # Seconds instead of minutes, so that a click is learnt while you watch.
        "learning": {"session_gap_s": 2.0, "session_max_s": 20.0, "publish_interval_s": 2.0},
    }


def product_yaml() -> str:
    """The same as the text of a configuration file."""
    return yaml.safe_dump(product(), sort_keys=False)
