"""What is left of a run after it was drained, read from where each part keeps its own count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omakase import models
from omakase.accounts import read_account
from omakase.adapters import open_model_store, open_warehouse
from omakase.core.accounting import Account
from omakase.deployment import Deployment
from omakase.ports.warehouse import Cell, Warehouse
from omakase.snapshots import Snapshot
from tests.fault.matrix.notes import Notes, number_of
from tests.fault.matrix.reference import Delivery, Place, Stored

# `delivery_rows` are counted beside the deliveries, for a delivery that was loaded twice hides in a mapping.
_DELIVERIES = """
SELECT request_id, position, delivery_id, model, item_id, context_factor, item_factor,
    coalesce({excluded}, false) AS out
FROM deliveries
"""
_EVENTS = "SELECT request_id, position, type, event_id, occurred_at FROM events"
_EXAMPLES = "SELECT model, count(*) AS n FROM examples WHERE click_before IS NULL GROUP BY model"


@dataclass(frozen=True, slots=True)
class Evidence:
    """`learnable` are the deliveries without those that a rebuild excluded; `examples` counts rows by model."""

    notes: Notes
    account: Account
    deliveries: Mapping[Place, Delivery]
    delivery_rows: int
    learnable: Mapping[Place, Delivery]
    events: Sequence[Stored]
    examples: Mapping[str, int]
    snapshots: Mapping[str, Snapshot]


def gather(deployment: Deployment, notes: Notes, excluded: str = "false") -> Evidence:
    """Read everything. `excluded` is a condition in SQL over the warehouse's deliveries."""
    warehouse, store = open_warehouse(deployment.uris.warehouse), open_model_store(deployment.uris.models)
    rows = warehouse.query(_DELIVERIES.format(excluded=f"({excluded})"))
    deliveries = {(str(row["request_id"]), _whole(row["position"])): _delivery(row) for row in rows}
    out = {(str(row["request_id"]), _whole(row["position"])) for row in rows if row["out"]}
    assert out or excluded == "false", f"no delivery is one of {excluded}, so nothing was shown"
    return Evidence(
        notes=notes,
        account=read_account(deployment),
        deliveries=deliveries,
        delivery_rows=len(rows),
        learnable={place: delivery for place, delivery in deliveries.items() if place not in out},
        events=_events(warehouse),
        examples={str(row["model"]): _whole(row["n"]) for row in warehouse.query(_EXAMPLES)},
        snapshots={key: models.newest(store, key).snapshot for key in models.keys(store)},
    )


def _events(warehouse: Warehouse) -> list[Stored]:
    stored = []
    for row in warehouse.query(_EVENTS):
        occurred_at = row["occurred_at"]
        assert isinstance(occurred_at, float), "an event without the storefront's number"
        place = str(row["request_id"]), _whole(row["position"])
        stored.append(Stored(*place, str(row["type"]), str(row["event_id"]), number_of(occurred_at)))
    return stored


def _delivery(row: Mapping[str, Cell]) -> Delivery:
    return Delivery(
        delivery_id=str(row["delivery_id"]),
        model=str(row["model"]),
        item_id=str(row["item_id"]),
        context_factor=_factor(row["context_factor"]),
        item_factor=_factor(row["item_factor"]),
    )


def _factor(packed: Cell) -> NDArray[np.float64]:
    return np.frombuffer(packed if isinstance(packed, bytes) else b"", dtype="<f4").astype(np.float64)


def _whole(cell: Cell) -> int:
    assert isinstance(cell, int)
    return cell
