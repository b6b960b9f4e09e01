"""One event as a client sends it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from omakase.core.errors import InvalidDeliveryId
from omakase.core.events import MAX_VALUE, ONCE_ONLY, Event
from omakase.core.ids import CLOCK_SKEW_S, Keyring, new_request_id
from omakase.core.suggestion import suggest

# from 2001 to 2100, so that milliseconds are recognised as a mistake
UnixSeconds = Annotated[float, Field(ge=1e9, le=4.1e9, allow_inf_nan=False, strict=True)]


def _only_text(sent: object) -> object:
    """A bare number is never a date: it would be guessed to be milliseconds where it is large."""
    if not isinstance(sent, str):
        raise ValueError("a date is text in ISO 8601")
    return sent


Moment = Annotated[AwareDatetime, BeforeValidator(_only_text, json_schema_input_type=str)]


class EventIn(BaseModel):
    """One thing a person did with a delivery."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"delivery_id": "AaH_ecjCXbdeEX2vPULkKwEBounQM2ls", "type": "click"}},
    )

    delivery_id: str = Field(description="as the recommendation gave it")
    type: str = Field(description="impression, click, conversion, return, or a configured type")
    value: float | None = Field(
        default=None,
        ge=-MAX_VALUE,
        le=MAX_VALUE,
        allow_inf_nan=False,
        strict=True,
        description="what it is worth; only with a server key",
    )
    occurred_at: Moment | UnixSeconds | None = Field(
        default=None, description="the client's clock, ISO 8601 with an offset or Unix seconds; reported, never trusted"
    )
    event_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="the same id sent twice is one event; required of all but impressions and clicks",
    )


class EventsIn(BaseModel):
    """A batch of events. Each is accepted or rejected on its own."""

    model_config = ConfigDict(extra="forbid")

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


_validate = TypeAdapter(EventIn).validator.validate_python
_FIELDS = EventIn.model_fields
_NO_FIELD = "is not a field"
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
        self._random = _drawn_ahead(random)

    def follow(self, types: frozenset[str], reward_window_s: float) -> None:
        """Take these types within this window from now on."""
        self._types, self._reward_window_s = types, reward_window_s

    def read(self, raw: object, now: float, *, by_server: bool = False) -> Event:
        """What a browser sent, or the shop's own server with its key. Raises: Rejected."""
        if isinstance(raw, dict) and len(raw) > len(_FIELDS):
            raise Rejected("malformed", _explain_unknown(raw))
        try:
            sent: EventIn = _validate(raw)
        except ValidationError as error:
            raise Rejected("malformed", _explain(error)) from None
        if sent.type not in self._types:
            raise Rejected("unknown_type", f"unknown type{suggest(sent.type, self._types)}")
        if not sent.event_id and sent.type not in ONCE_ONLY:
            raise Rejected("event_id_missing", f"a {sent.type} needs an event_id, so that it counts once however sent")
        if sent.value is not None and not by_server:
            raise Rejected("value_needs_key", "value is taken from the shop's own server only: send a server key")
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
            by_server=by_server,
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


def _drawn_ahead(random: Callable[[int], bytes], ahead: int = 4096) -> Callable[[int], bytes]:
    """The same randomness, asked for in larger portions: a system call for each event would cost as much as its MAC."""
    portion, at = b"", 0

    def draw(n: int) -> bytes:
        nonlocal portion, at
        if at + n > len(portion):
            portion, at = random(max(n, ahead)), 0
        at += n
        return portion[at - n : at]

    return draw


def _explain_unknown(raw: dict[str, object]) -> str:
    """More fields than there are, some thousands perhaps: the first few that are unknown, and no look at the others."""
    unknown = [field[:64] for field in islice(raw, 10) if field not in _FIELDS]
    return "; ".join(f"{field}: {_NO_FIELD}{suggest(field, _FIELDS)}" for field in unknown[:5])


def _explain(error: ValidationError) -> str:
    """What is wrong, in our words, a sentence a field."""
    faults = {str(fault["loc"][0])[:64] if fault["loc"] else "": fault for fault in error.errors(include_url=False)}
    return "; ".join(f"{field}: {_sentence(field, faults[field])}" if field else _OBJECT for field in list(faults)[:5])


def _sentence(field: str, fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return _NO_FIELD + suggest(field, _FIELDS)
    return _SENTENCES.get(field, fault["msg"])
