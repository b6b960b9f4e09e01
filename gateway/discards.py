"""What a recommender recorded and nobody saw: it came after a fallback had been given in its place."""

from __future__ import annotations

import logging

from omakase.core.errors import Unavailable
from omakase.core.ids import RequestId
from omakase.core.sessions import Discarded
from omakase.ports.delivery_log import DeliveryLog
from omakase.wire import encode_discarded

log = logging.getLogger(__name__)


class Discards:
    """Records it, so that what was never shown ends as discarded. Where no record can be kept it ends as unseen."""

    def __init__(self, deliveries: DeliveryLog) -> None:
        self._deliveries = deliveries
        self._is_losing = False

    def add(self, request_id: RequestId) -> None:
        try:
            self._deliveries.append(encode_discarded(Discarded(request_id)))
        except Unavailable as error:
            if not self._is_losing:
                log.error("slates that came too late will end as unseen: %s", error)
            self._is_losing = True
        else:
            self._is_losing = False
