"""The account of a data directory, read from counters that do not know of each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from omakase.adapters import (
    open_clock,
    open_dead_letters,
    open_delivery_store,
    open_event_log,
    open_orders,
    open_training_state,
    open_warehouse,
)
from omakase.adapters.local.files import disk_errors
from omakase.core.accounting import DELIVERIES, EVENTS, Account, Loaded
from omakase.core.events import EXCLUSION
from omakase.deployment import Deployment
from omakase.serving.refused import Refused

Version = TypeVar("Version")
Read = TypeVar("Read")

# Rows go by the hour when they are old, the hourly sums stay: so an hour that only these know was dropped.
_LOADED = f"""
SELECT
    (SELECT count(*) FROM (SELECT DISTINCT request_id, position FROM deliveries)) AS deliveries,
    (SELECT count(DISTINCT receipt_id) FROM events WHERE type <> '{EXCLUSION}') AS events,
    (SELECT count(*) FILTER (click IS NOT NULL AND click_before IS NULL) - count(*) FILTER (click IS NULL)
        FROM examples) AS learnt,
    coalesce((SELECT min(hour) FROM hourly) >= (SELECT min(hour) FROM deliveries), (SELECT count(*) FROM hourly) = 0)
        AS is_whole
"""  # noqa: S608  our own word


def read_account(deployment: Deployment, *, with_warehouse: bool = False) -> Account:
    """Raises: Unavailable. Works while the services run: then some of what was accepted is on its way.

    The trainer's side is read before the warehouse, and that before the bus, each of one moment: what is published in
    between counts as unread. Cost: with the warehouse, a pass over its ids.
    """
    uris = deployment.uris
    state, log, letters = (
        open_training_state(uris.training),
        open_event_log(uris.bus),
        open_dead_letters(uris.training),
    )
    parked = open_delivery_store(uris.deliveries).waiting() + open_orders(uris.deliveries).waiting()
    progress, ((deliveries, events), dead) = _of_one_moment(state.progress, lambda: (state.account(), letters.counts()))
    loaded_through, loaded = _read_warehouse(deployment) if with_warehouse else (0, None)
    last_offset, totals = _of_one_moment(log.last_offset, log.totals)
    return Account(
        recorded=totals.get(DELIVERIES, 0),
        accepted=totals.get(EVENTS, 0) + parked,
        parked=parked,
        deliveries=deliveries,
        events=events,
        unread=last_offset - progress.cursor,
        dead=dead,
        loaded=None if loaded is None else replace(loaded, unloaded=last_offset - loaded_through),
        refused=sum(Refused(path).count() for path in deployment.refused()),
        damaged=len(deployment.damaged()),
        clock_ahead_s=max(0.0, progress.watermark - open_clock(deployment.clock_uri).now()),
    )


def _read_warehouse(deployment: Deployment) -> tuple[int, Loaded]:
    """What is in the warehouse, and the offset up to which it was surely loaded by then."""
    cursor = deployment.warehouse_cursor
    with disk_errors(f"read {cursor}"):
        text = cursor.read_text() if cursor.exists() else "0"
    (row,) = open_warehouse(deployment.uris.warehouse).query(_LOADED)
    deliveries, events, learnt = (int(row[name] or 0) for name in ("deliveries", "events", "learnt"))
    return int(text) if text.isdecimal() else 0, Loaded(deliveries, events, learnt, is_whole=bool(row["is_whole"]))


def _of_one_moment(version: Callable[[], Version], read: Callable[[], Read]) -> tuple[Version, Read]:
    """Something with the version it is of: read again until that is the same before and after."""
    while True:
        before, found = version(), read()
        if version() == before:
            return before, found
