"""The warehouse's tables: one declaration, from which every adapter makes its schema.

Times are Unix seconds, UTC; `hour` is the start of the hour a row belongs to, by which tables are cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

ColumnType: TypeAlias = Literal["text", "float", "integer", "boolean", "bytes"]
Columns: TypeAlias = Mapping[str, ColumnType]

TABLES: Mapping[str, Columns] = {
    "deliveries": {
        "hour": "integer",
        "request_id": "text",
        "position": "integer",
        "delivery_id": "text",
        "served_at": "float",
        "placement": "text",
        "experiment": "text",
        "variant": "text",
        "assigned_by": "text",
        "shadow": "boolean",
        "policy": "text",
        "model": "text",
        "model_version": "text",
        "catalogue_generation": "integer",
        "unit": "text",
        "user": "text",
        "item_id": "text",
        "score": "float",
        "predicted_click": "float",
        "expected_value": "float",
        "propensity": "float",
        "examination": "float",
        "fallback": "boolean",
        "metadata": "text",
        "context": "text",
        "context_factor": "bytes",
        "item_factor": "bytes",
    },
    "propensities": {
        "hour": "integer",
        "request_id": "text",
        "position": "integer",
        "propensity": "float",
        "draws": "integer",
        "occurrences": "integer",
        "is_capped": "boolean",
        "is_exact": "boolean",
    },
    "events": {
        "hour": "integer",
        "receipt_id": "text",
        "request_id": "text",
        "position": "integer",
        "type": "text",
        "value": "float",
        "event_id": "text",
        "received_at": "float",
        "occurred_at": "float",
        "placement": "text",
        "variant": "text",
        "policy": "text",
        "unit": "text",
        "item_id": "text",
        "unwanted": "text",
    },
    "examples": {
        "hour": "integer",
        "shard": "text",
        "sequence": "integer",
        "request_id": "text",
        "position": "integer",
        "model": "text",
        "context_factor": "bytes",
        "item_factor": "bytes",
        "item_id": "text",
        "served_at": "float",
        "weight": "float",
        "click": "float",
        "reward": "float",
        "click_before": "float",
        "reward_before": "float",
    },
    "hourly": {
        "hour": "integer",
        "placement": "text",
        "variant": "text",
        "policy": "text",
        "item_id": "text",
        "position": "integer",
        "deliveries": "integer",
        "impressions": "integer",
        "examined": "float",
        "clicks": "integer",
        "conversions": "integer",
        "value": "float",
        "source_rows": "integer",
    },
    # How many rows came into an hour for the slates of which hour: it says what is to be aggregated again.
    "arrivals": {"hour": "integer", "served_hour": "integer", "deliveries": "integer", "events": "integer"},
    # What a streaming job counted, as increments: it has no store of its own to be asked.
    "tallies": {"hour": "integer", "side": "text", "state": "text", "count": "integer"},
    "publications": {
        "hour": "integer",
        "model": "text",
        "generation": "integer",
        "through": "integer",
        "published_at": "float",
        "clicks": "integer",
    },
}

# The columns that say of whom a row is, in every table that has them; and what goes when that person is forgotten.
IDENTITIES = ("unit", "user")
PERSONAL = (*IDENTITIES, "context")


def hour_of(at: float) -> int:
    """The start of the hour. Units: both in Unix seconds."""
    return int(at // 3600 * 3600)
