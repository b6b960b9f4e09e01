"""Slates, their propensities and events as rows of the warehouse."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from omakase.core.errors import Corrupt
from omakase.core.events import Event
from omakase.core.ids import issued_at, text_of
from omakase.core.propensities import SlatePropensities
from omakase.core.slates import Slate
from omakase.core.tables import hour_of
from omakase.core.values import Facts
from omakase.ports.warehouse import Row, Table
from omakase.wire import decode_bus_body, encode_factor

TableRows: TypeAlias = dict[Table, list[Row]]

_encode = msgspec.json.Encoder(order="sorted").encode


def rows_of(bodies: Iterable[bytes]) -> tuple[TableRows, list[tuple[bytes, str]]]:
    """The rows of bus messages by table, and the messages that cannot be read, each with what is wrong with it."""
    rows: TableRows = {"deliveries": [], "propensities": [], "events": []}
    unreadable: list[tuple[bytes, str]] = []
    for body in bodies:
        try:
            record = decode_bus_body(body)
        except Corrupt as error:
            unreadable.append((body, str(error)))
            continue
        if isinstance(record, Slate):
            rows["deliveries"] += delivery_rows(record)
        elif isinstance(record, Event):
            rows["events"].append(event_row(record))
        elif isinstance(record, SlatePropensities):
            rows["propensities"] += propensity_rows(record)
    return rows, unreadable


def delivery_rows(slate: Slate) -> list[Row]:
    """One row per delivery; the context factor is repeated, a column store keeps it once."""
    shared: dict[str, str | int | float | bool | bytes | None] = {
        "hour": hour_of(slate.served_at),
        "request_id": text_of(slate.request_id),
        "served_at": slate.served_at,
        "placement": slate.placement,
        "experiment": slate.experiment,
        "variant": slate.variant,
        "assigned_by": slate.assigned_by,
        "shadow": slate.shadow,
        "policy": slate.policy,
        "model": slate.model,
        "model_version": slate.model_version,
        "catalogue_generation": slate.catalogue_generation,
        "unit": slate.unit,
        "user": slate.user,
        "fallback": slate.fallback,
        "context": _json(slate.context),
        "context_factor": encode_factor(slate.context_factor),
    }
    return [
        {
            **shared,
            "position": delivery.position,
            "delivery_id": delivery.delivery_id,
            "item_id": delivery.item_id,
            "score": delivery.score,
            "predicted_click": delivery.predicted_click,
            "expected_value": delivery.expected_value,
            "propensity": delivery.propensity,
            "examination": float(delivery.item_factor[0]) if delivery.item_factor.size else None,
            "metadata": _json(delivery.metadata),
            "item_factor": encode_factor(delivery.item_factor),
        }
        for delivery in slate.deliveries
    ]


def propensity_rows(record: SlatePropensities) -> list[Row]:
    """One row per position, in the hour in which its slate's id was made."""
    hour, request_id, counted = hour_of(issued_at(record.request_id)), text_of(record.request_id), record.positions
    return [
        {
            "hour": hour,
            "request_id": request_id,
            "position": place + 1,
            "propensity": float(counted.propensity[place]),
            "draws": int(counted.draws[place]),
            "occurrences": int(counted.occurrences[place]),
            "is_capped": bool(counted.is_capped[place]),
            "is_exact": bool(counted.is_exact[place]),
        }
        for place in range(counted.draws.size)
    ]


def event_row(event: Event) -> Row:
    """One accepted event; the columns of its delivery are null where the record never came."""
    joined = event.delivery
    return {
        "hour": hour_of(event.received_at),
        "receipt_id": text_of(event.receipt_id),
        "request_id": text_of(event.request_id),
        "position": event.position,
        "type": event.type,
        "value": event.value,
        "event_id": event.event_id,
        "received_at": event.received_at,
        "occurred_at": event.occurred_at,
        "placement": joined.placement if joined else None,
        "variant": joined.variant if joined else None,
        "policy": joined.policy if joined else None,
        "unit": joined.unit if joined else None,
        "item_id": joined.item_id if joined else None,
        "unwanted": event.unwanted or None,
    }


def _json(facts: Facts) -> str:
    return _encode(dict(facts)).decode()
