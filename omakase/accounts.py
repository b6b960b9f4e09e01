"""The account of a data directory, read from counters that do not know of each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from omakase.adapters import open_delivery_store, open_event_log, open_training_state
from omakase.core.accounting import DELIVERIES, EVENTS, Account
from omakase.deployment import Deployment

Version = TypeVar("Version")
Read = TypeVar("Read")


def read_account(deployment: Deployment) -> Account:
    """Raises: Unavailable. Works while the services run: then some of what was accepted is on its way.

    The trainer's side is read before the bus, each of one moment: what is published in between counts as unread.
    """
    uris = deployment.uris
    state, log = open_training_state(uris.training), open_event_log(uris.bus)
    parked = open_delivery_store(uris.deliveries).waiting()
    progress, (deliveries, events) = _of_one_moment(state.progress, state.account)
    last_offset, totals = _of_one_moment(log.last_offset, log.totals)
    return Account(
        recorded=totals.get(DELIVERIES, 0),
        accepted=totals.get(EVENTS, 0) + parked,
        parked=parked,
        deliveries=deliveries,
        events=events,
        unread=last_offset - progress.cursor,
    )


def _of_one_moment(version: Callable[[], Version], read: Callable[[], Read]) -> tuple[Version, Read]:
    """Something with the version it is of: read again until that is the same before and after."""
    while True:
        before, found = version(), read()
        if version() == before:
            return before, found
