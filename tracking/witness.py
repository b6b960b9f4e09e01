"""Who sees every event that has met its slate, before it goes on to the bus."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from omakase.core.events import Event
from omakase.core.ids import RequestId, text_of
from omakase.ports.touches import Touches
from omakase.serving import tracing
from omakase.wire import RecordedSlate
from tracking.attribution import touches_of
from tracking.recent import RecentClicks
from tracking.traffic import TrafficRules


class Witness:
    """Marks the events of users who do too much, and remembers who touched what, for orders and features to come.

    Touches are kept only while `takes_orders` says that somebody may send any; clicks only while `notes_clicks`.
    """

    def __init__(
        self,
        traffic: TrafficRules,
        touches: Touches,
        takes_orders: Callable[[], bool],
        recent: RecentClicks,
        *,
        notes_clicks: bool,
    ) -> None:
        self._traffic = traffic
        self._touches = touches
        self._takes_orders = takes_orders
        self._recent = recent
        self.notes_clicks = notes_clicks  # may be changed while it runs

    def see(self, events: list[Event], slates: Mapping[RequestId, RecordedSlate | None]) -> list[Event]:
        """The events as they are to be published. Raises: Unavailable; then nothing may be published."""
        began_ns = time.time_ns()
        judged = self._traffic.judge_users(events, slates)
        if self._takes_orders():
            self._touches.note(touches_of(judged, slates))
        if self.notes_clicks:
            self._recent.see(judged, slates)
        if tracing.is_on():
            trace(judged, slates, began_ns)
        return judged


def trace(events: list[Event], slates: Mapping[RequestId, RecordedSlate | None], began_ns: int) -> None:
    """That these met their slates, in the traces of those that have one."""
    for event in events:
        slate = slates.get(event.request_id)
        if slate is not None and slate.trace:
            named: dict[str, tracing.Attribute] = {"request_id": text_of(event.request_id), "position": event.position}
            told = {**named, "type": event.type, "receipt_id": text_of(event.receipt_id), "unwanted": event.unwanted}
            tracing.past("join", slate.trace, began_ns, time.time_ns(), told)
