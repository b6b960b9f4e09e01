"""One event as a client sends it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from omakase.core.errors import InvalidDeliveryId
from omakase.core.events import MAX_VALUE, Event
from omakase.core.ids import CLOCK_SKEW_S, Keyring, new_request_id
from omakase.core.suggestion import suggest

# from 2001 to 2100, so that milliseconds are recognised as a mistake
_UnixSeconds = Annotated[float, Field(ge=1e9, le=4.1e9, allow_inf_nan=False, strict=True)]


def _only_text(sent: object) -> object:
    """A bare number is never a date: it would be guessed to be milliseconds where it is large."""
    if not isinstance(sent, str):
        raise ValueError("a date is text in ISO 8601")
    return sent


_Moment = Annotated[AwareDatetime, BeforeValidator(_only_text, json_schema_input_type=str)]


class EventIn(BaseModel):
    """One thing a person did with a delivery."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"delivery_id": "AaH_ecjCXbdeEX2vPULkKwEBounQM2ls", "type": "click"}},
    )

    delivery_id: str = Field(description="as the recommendation gave it")
    type: str = Field(description="impression, click, conversion, or a configured type")
    value: float | None = Field(default=None, ge=-MAX_VALUE, le=MAX_VALUE, allow_inf_nan=False, strict=True)
    occurred_at: _Moment | _UnixSeconds | None = Field(
        default=None, description="the client's clock, ISO 8601 with an offset or Unix seconds; reported, never trusted"
    )
    event_id: str | None = Field(
        default=None, min_length=1, max_length=128, description="the same id sent twice is one event"
    )


class EventsIn(BaseModel):
    """A batch of events. Each is accepted or rejected on its own."""

    events: list[EventIn]


class Rejection(BaseModel):
    """Why one event was not accepted; nothing of it was stored."""

    index: int
    reason: str
    detail: str


class EventsOut(BaseModel):
    """The accepted events are stored; sending a rejected one again unchanged is of no use."""

    accepted: int
    rejected: list[Rejection]


class Rejected(Exception):
    """An event that cannot be accepted: an answer, not a fault."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


_EVENT = TypeAdapter(EventIn)
_OBJECT = "an event must be an object"
_SENTENCES = {
    "occurred_at": "must be a date as text in ISO 8601 with an offset, or Unix seconds",
    "value": f"must be a number within ±{MAX_VALUE:g}, or left out",
    "event_id": "must be text of 1 to 128 characters, or left out",
}


class Reader:
    """Turns what a client sent into events, or says why not. It touches no store: a bad event costs microseconds."""

    def __init__(
        self, keyring: Keyring, types: frozenset[str], reward_window_s: float, random: Callable[[int], bytes]
    ) -> None:
        self._keyring = keyring
        self._types = types
        self._reward_window_s = reward_window_s
        self._random = random

    def read(self, raw: object, now: float) -> Event:
        """Raises: Rejected."""
        try:
            sent = _EVENT.validate_python(raw)
        except ValidationError as error:
            raise Rejected("malformed", _explain(error)) from None
        if sent.type not in self._types:
            raise Rejected("unknown_type", f"unknown type{suggest(sent.type, self._types)}")
        try:
            delivery = self._keyring.verify(sent.delivery_id, now, self._reward_window_s)
        except InvalidDeliveryId as error:
            raise Rejected(f"delivery_id_{error.reason}", str(error)) from None
        return Event(
            receipt_id=new_request_id(now, self._random),
            request_id=delivery.request_id,
            position=delivery.position,
            type=sent.type,
            received_at=now,
            value=sent.value,
            event_id=sent.event_id or "",
            occurred_at=self._occurred_at(sent.occurred_at, now),
        )

    def _occurred_at(self, sent: datetime | float | None, now: float) -> float | None:
        if sent is None:
            return None
        occurred_at = sent.timestamp() if isinstance(sent, datetime) else sent
        if not now - self._reward_window_s <= occurred_at <= now + CLOCK_SKEW_S:
            raise Rejected(
                "occurred_at_out_of_range",
                f"occurred_at must lie within the last {self._reward_window_s:g} s; leave it out if in doubt",
            )
        return occurred_at


def _explain(error: ValidationError) -> str:
    """What is wrong, in our words, a sentence a field."""
    faults = {str(fault["loc"][0])[:64] if fault["loc"] else "": fault for fault in error.errors(include_url=False)}
    return "; ".join(f"{field}: {_sentence(field, faults[field])}" if field else _OBJECT for field in list(faults)[:5])


def _sentence(field: str, fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return "is not a field" + suggest(field, EventIn.model_fields)
    return _SENTENCES.get(field, fault["msg"])
