"""One delivery's way: served, clicked, learnt from, published; read from a data directory, also while it is in use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TypeAlias

from omakase.adapters import open_delivery_store, open_event_log, open_model_store, open_warehouse
from omakase.adapters.local.files import disk_errors
from omakase.core.errors import Corrupt
from omakase.core.events import Event
from omakase.core.ids import DeliveryId, issued_at, text_of
from omakase.core.propensities import SlatePropensities
from omakase.core.slates import Slate
from omakase.core.tables import hour_of
from omakase.deployment import Deployment
from omakase.endings import Ending, read_ending
from omakase.keys import load_keys
from omakase.ports.model_store import ModelKey
from omakase.ports.warehouse import Warehouse
from omakase.publications import Publication, publication
from omakase.wire import decode_bus_body, decode_event, decode_slate

Cells: TypeAlias = Mapping[str, str | int | float | bool | bytes | None]

_READ = 20_000
_PARKED = 100_000
_SERVED = (
    "served_at, placement, variant, experiment, assigned_by, shadow, fallback, policy, model, model_version, "
    "catalogue_generation, item_id, score, predicted_click, propensity"
)
_ABOUT = "request_id = ? AND position = ? AND hour >= ?"


@dataclass(frozen=True, slots=True)
class Served:
    """How a delivery was served. `trace` is known while its record is kept. Units: served_at in Unix seconds."""

    served_at: float
    placement: str
    variant: str
    experiment: str
    assigned_by: str
    shadow: bool
    fallback: bool
    policy: str
    model: str
    model_version: str
    catalogue_generation: int
    item_id: str
    score: float
    predicted_click: float | None
    propensity: float | None
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Happened:
    """An accepted event. `is_parked`: it waits for the delivery's record. Units: received_at in Unix seconds."""

    type: str
    received_at: float
    value: float | None
    unwanted: str
    is_parked: bool = False


@dataclass(frozen=True, slots=True)
class Lesson:
    """An example, a correction of one (`before` is what was learnt until then) or its retraction (`click` is None).

    It is in the model's batch `sequence`, as `shard` counts them; `publication` is None until a model holds that.
    """

    model: str
    shard: str
    sequence: int
    weight: float
    click: float | None
    reward: float | None
    before: tuple[float, float | None] | None
    publication: Publication | None


@dataclass(frozen=True, slots=True)
class Journey:
    """All that is known of one delivery. It names no person.

    `served` is None where tracking has no record: that is still in a spool, or older than what is kept.
    """

    delivery_id: str
    request_id: str
    position: int
    issued_at: float
    served: Served | None
    events: Sequence[Happened]
    ending: Ending
    lessons: Sequence[Lesson]


@dataclass(slots=True)
class _Unloaded:
    """What of the delivery is on the bus and not in the warehouse yet."""

    events: list[Event] = field(default_factory=list)
    propensity: float | None = None


def follow(deployment: Deployment, delivery_id: str) -> Journey:
    """Raises: InvalidDeliveryId for what was not issued here; Unavailable. Cost: a pass over the hours since, and over
    what the warehouse has yet to load."""
    named = load_keys(deployment.keys).verify(delivery_id, inf, inf)
    warehouse = open_warehouse(deployment.uris.warehouse)
    lessons = _lessons(deployment, warehouse, named)
    unloaded = _unloaded(deployment, named)
    events = _events(warehouse, named, unloaded.events) + _parked(deployment, named)
    served = _served(deployment, warehouse, named, unloaded.propensity)
    return Journey(
        delivery_id,
        text_of(named.request_id),
        named.position,
        issued_at(named.request_id),
        served,
        events,
        read_ending(
            deployment,
            named,
            is_known=served is not None,
            is_trainable=served is not None and bool(served.model),
            outcomes=[lesson.click for lesson in lessons],
            is_unwanted=any(event.unwanted for event in events),
        ),
        lessons,
    )


def _of(named: DeliveryId) -> tuple[str, int, int]:
    return text_of(named.request_id), named.position, hour_of(issued_at(named.request_id))


def _served(deployment: Deployment, warehouse: Warehouse, named: DeliveryId, unloaded: float | None) -> Served | None:
    counted = warehouse.query(f"SELECT propensity FROM propensities WHERE {_ABOUT}", _of(named))  # noqa: S608  our own
    propensity = next((row["propensity"] for row in counted), unloaded)
    body = open_delivery_store(deployment.uris.deliveries).find([named.request_id]).get(named.request_id)
    if body is not None:
        return _recorded(decode_slate(body), named.position, propensity)
    rows = warehouse.query(f"SELECT {_SERVED} FROM deliveries WHERE {_ABOUT}", _of(named))  # noqa: S608  our own
    if not rows:
        return None
    row = dict(rows[0])
    row["propensity"] = row["propensity"] if propensity is None else propensity
    return Served(**row)  # type: ignore[arg-type]


def _recorded(slate: Slate, position: int, propensity: object) -> Served | None:
    if position > len(slate.deliveries):
        return None
    delivery = slate.deliveries[position - 1]
    return Served(
        slate.served_at,
        slate.placement,
        slate.variant,
        slate.experiment,
        slate.assigned_by,
        slate.shadow,
        slate.fallback,
        slate.policy,
        slate.model,
        slate.model_version,
        slate.catalogue_generation,
        delivery.item_id,
        delivery.score,
        delivery.predicted_click,
        float(propensity) if isinstance(propensity, float) else delivery.propensity,
        slate.trace,
    )


def _events(warehouse: Warehouse, named: DeliveryId, unloaded: Sequence[Event]) -> list[Happened]:
    """Each acceptance once, in the order in which they came."""
    rows = warehouse.query(
        f"SELECT DISTINCT receipt_id, type, received_at, value, unwanted FROM events WHERE {_ABOUT}",  # noqa: S608
        _of(named),
    )
    found = {
        str(row["receipt_id"]): Happened(row["type"], row["received_at"], row["value"], row["unwanted"] or "")  # type: ignore[arg-type]
        for row in rows
    }
    found |= {
        text_of(event.receipt_id): Happened(event.type, event.received_at, event.value, event.unwanted)
        for event in unloaded
    }
    return [found[receipt_id] for receipt_id in sorted(found, key=lambda one: (found[one].received_at, one))]


def _parked(deployment: Deployment, named: DeliveryId) -> list[Happened]:
    found = []
    for entry in open_delivery_store(deployment.uris.deliveries).parked(inf, _PARKED):
        if entry.request_id == named.request_id:
            event = decode_event(entry.body)
            if event.position == named.position:
                found.append(Happened(event.type, event.received_at, event.value, event.unwanted, is_parked=True))
    return found


def _unloaded(deployment: Deployment, named: DeliveryId) -> _Unloaded:
    log, cursor = open_event_log(deployment.uris.bus), deployment.warehouse_cursor
    with disk_errors(f"read {cursor}"):
        text = cursor.read_text() if cursor.exists() else "0"
    after, last = int(text) if text.isdecimal() else 0, log.last_offset()
    found = _Unloaded()
    while after < last and (messages := log.read(after, _READ)):
        after = messages[-1].offset
        for logged in messages:
            if bytes(named.request_id) not in logged.message.body:
                continue
            try:
                record = decode_bus_body(logged.message.body)
            except Corrupt:  # the trainer sets it aside and counts it
                continue
            if isinstance(record, Event) and record.position == named.position:
                found.events.append(record)
            elif isinstance(record, SlatePropensities) and named.position <= record.positions.propensity.size:
                found.propensity = float(record.positions.propensity[named.position - 1])
    return found


def _lessons(deployment: Deployment, warehouse: Warehouse, named: DeliveryId) -> list[Lesson]:
    columns = "shard, sequence, model, weight, click, reward, click_before, reward_before"
    rows = warehouse.query(
        f"SELECT {columns} FROM examples WHERE {_ABOUT} ORDER BY shard, sequence",  # noqa: S608  our own words
        _of(named),
    )
    return list(_lessons_of(deployment, rows))


def _lessons_of(deployment: Deployment, rows: Sequence[Cells]) -> Iterator[Lesson]:
    store = open_model_store(deployment.uris.models)
    for row in rows:
        model, shard, sequence = str(row["model"]), str(row["shard"]), int(row["sequence"] or 0)
        before = None if row["click_before"] is None else (row["click_before"], row["reward_before"])
        published = publication(store, ModelKey(model), shard, sequence)
        told = model, shard, sequence, row["weight"], row["click"], row["reward"], before, published
        yield Lesson(*told)  # type: ignore[arg-type]
