"""Which delivery an order is due to: the last click of its item, else the last impression, by the same person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from omakase.core.events import CLICK, IMPRESSION, Event
from omakase.core.ids import NOBODY, RequestId
from omakase.ports.orders import Credit, Order
from omakase.ports.touches import Touch, Touched, Touches
from omakase.wire import RecordedSlate

# A shop's clock may be behind ours: what was received this much after the order may still have come before it.
SKEW_S = 60.0
# Touches of one person that are looked at. Whoever has more in a window is no person.
_MOST = 10_000


def touches_of(events: Iterable[Event], slates: Mapping[RequestId, RecordedSlate | None]) -> list[Touch]:
    """What these events tell of who saw and clicked what, a touch for each slate and moment.

    Events of unknown slates, of nobody, of other kinds, and unwanted ones tell nothing.
    """
    told: dict[tuple[RequestId, float], list[Event]] = {}
    for event in events:
        if (event.type == CLICK or event.type == IMPRESSION) and not event.unwanted:
            told.setdefault((event.request_id, event.received_at), []).append(event)
    touches = (_touch(slates.get(request_id), at, of) for (request_id, at), of in told.items())
    return [touch for touch in touches if touch is not None]


def _touch(slate: RecordedSlate | None, at: float, events: Sequence[Event]) -> Touch | None:
    if slate is None or not (slate.unit or slate.user):
        return None
    item_ids = slate.item_ids
    items = tuple(
        Touched(event.position, item_ids[event.position - 1], event.type == CLICK)
        for event in events
        if 1 <= event.position <= len(item_ids)
    )
    if not items:
        return None
    user = NOBODY if slate.user == slate.unit else slate.user
    return Touch(events[0].request_id, at, slate.unit, user, *slate.shown, items)


def attribute(order: Order, touches: Touches, window_s: float) -> Credit:
    """The last click of the order's item at most `window_s` before it, else the last impression, else nothing.

    Raises: Unavailable.
    """
    impression: Credit | None = None
    since, until = order.occurred_at - window_s, order.occurred_at + SKEW_S
    for touch in touches.of(order.people, since, until, _MOST):
        for touched in touch.items:
            if touched.item_id == order.item_id:
                if touched.is_click:
                    return _credit(order, touch, touched)
                impression = impression or _credit(order, touch, touched)
    return impression or unattributed(order)


def unattributed(order: Order) -> Credit:
    """No delivery. Its request id is made of the order, so that it is the same whenever it is made."""
    request_id = int(order.received_at * 1000).to_bytes(6, "big") + order.line[:10]
    return Credit(order.line, order.received_at, RequestId(request_id), 0)


def _credit(order: Order, touch: Touch, touched: Touched) -> Credit:
    return Credit(
        order.line,
        order.received_at,
        touch.request_id,
        touched.position,
        touch.served_at,
        touch.placement,
        touch.variant,
        touch.policy,
        touch.unit,
        touched.item_id,
    )
