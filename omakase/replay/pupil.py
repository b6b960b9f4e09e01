"""Waiting until the services have learnt what they were told: a replay outruns the real time that learning takes."""

from __future__ import annotations

import asyncio
import time

from omakase.adapters import open_delivery_store, open_event_log, open_pending_batches, open_training_state
from omakase.core.errors import Unavailable
from omakase.deployment import Deployment

POLL_S = 0.1
"""How often the recommenders of a replay look for a new model."""
TICK_S = 0.2
_PATIENCE_S = 120.0

TUNING = {"recommender": {"poll_s": POLL_S}, "trainer": {"tick_s": TICK_S}}


class Pupil:
    """The trainer and the recommenders of a deployment, seen from outside."""

    def __init__(self, deployment: Deployment) -> None:
        uris = deployment.uris
        self._state = open_training_state(uris.training)
        self._batches = open_pending_batches(uris.training)
        self._log = open_event_log(uris.bus)
        self._deliveries = open_delivery_store(uris.deliveries)

    async def catch_up(self) -> None:
        """Return when every event is joined and read, every due batch published, and the newest model served.

        Raises: Unavailable if that takes longer than two minutes.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while not self._is_up_to_date():
            if time.monotonic() > deadline:
                raise Unavailable(f"the trainer is still behind after {_PATIENCE_S:g} s; see its log")
            await asyncio.sleep(TICK_S / 2)
        await asyncio.sleep(2 * POLL_S)

    def _is_up_to_date(self) -> bool:
        return (
            not self._deliveries.waiting()
            and self._state.progress().cursor == self._log.last_offset()
            and not self._batches.pending()
        )
