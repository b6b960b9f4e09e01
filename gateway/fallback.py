"""The slate that the gateway makes when the recommender does not answer."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gateway import metrics
from gateway.shelf import Shelf
from omakase.core.errors import Unavailable
from omakase.core.ids import Keyring, Pseudonym, new_request_id
from omakase.core.slates import FALLBACK, Shown, Slate, anonymous, stamp
from omakase.core.values import Facts
from omakase.ports.clock import Clock
from omakase.ports.delivery_log import DeliveryLog
from omakase.serving.refresher import Refresher
from omakase.wire import encode_slate

log = logging.getLogger(__name__)

_NO_FACTOR = np.empty(0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a fallback. `context` is only recorded."""

    placement: str
    variant: str
    experiment: str
    assigned_by: str
    unit: Pseudonym
    user: Pseudonym
    context: Facts
    limit: int
    exclude: list[str]
    candidates: list[str] | None
    filters: Facts
    measure: bool
    trace: str = ""


class Fallback:
    """Builds, stamps and records slates of policy `fallback`: deterministic, so with propensity 1, and never learnt.

    When even the spool takes no record the slate is served all the same, for the shop would rather show something than
    nothing. Its events then find no record and end as orphans; here it is counted as lost, and logged.
    """

    def __init__(
        self,
        shelves: Refresher[Shelf],
        keyring: Keyring,
        clock: Clock,
        deliveries: DeliveryLog,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._shelves = shelves
        self._keyring = keyring
        self._clock = clock
        self._deliveries = deliveries
        self._random_bytes = random_bytes
        self._is_losing = False

    def slate(self, wanted: Wanted) -> tuple[Slate, list[str]]:
        """The recorded slate and the ignored candidates.

        Raises: InvalidInput for a filter that the catalogue has no fact for; Unavailable before the first catalogue.
        """
        shelf = self._shelves.current
        if shelf is None:
            raise Unavailable("starting: the catalogue is not loaded yet")
        items, ignored = shelf.best(wanted.placement, wanted.limit, wanted.exclude, wanted.candidates, wanted.filters)
        now = self._clock.now()
        request_id = new_request_id(now, self._random_bytes)
        shown = [Shown(item.item_id, _NO_FACTOR, item.metadata) for item in items]
        certain, nothing = np.ones(len(shown)), np.zeros(len(shown))
        slate = Slate(
            request_id=request_id,
            served_at=now,
            placement=wanted.placement,
            variant=wanted.variant,
            policy=FALLBACK,
            model="",
            model_version="",
            catalogue_generation=shelf.catalogue.generation,
            unit=wanted.unit,
            user=wanted.user,
            context=wanted.context,
            context_factor=_NO_FACTOR,
            deliveries=stamp(shown, request_id, self._keyring, scores=nothing, propensity=certain),
            fallback=True,
            experiment=wanted.experiment,
            assigned_by=wanted.assigned_by,
            trace=wanted.trace,
        )
        self._record(slate if wanted.measure else anonymous(slate))
        return slate, ignored

    def _record(self, slate: Slate) -> None:
        try:
            self._deliveries.append(encode_slate(slate))
        except Unavailable as error:
            metrics.RECORDS_LOST.inc()
            if not self._is_losing:
                log.error("fallback slates are served without a delivery record: %s", error)
            self._is_losing = True
        else:
            self._is_losing = False
