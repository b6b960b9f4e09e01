"""The account of a data directory, read from counters that do not know of each other."""

from __future__ import annotations

from omakase.adapters import open_delivery_store, open_event_log, open_training_state
from omakase.core.accounting import DELIVERIES, EVENTS, Account
from omakase.supervisor.deployment import Deployment


def read_account(deployment: Deployment) -> Account:
    """Raises: Unavailable. Works while the services run: then some of what was accepted is still on its way."""
    uris = deployment.uris
    deliveries, events = open_training_state(uris.training).account()
    totals = open_event_log(uris.bus).totals()
    parked = open_delivery_store(uris.deliveries).waiting()
    return Account(
        recorded=totals.get(DELIVERIES, 0),
        accepted=totals.get(EVENTS, 0) + parked,
        parked=parked,
        deliveries=deliveries,
        events=events,
    )
