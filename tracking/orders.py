"""One order line as the shop's own system sends it, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from omakase.core.events import CONVERSION, MAX_VALUE
from omakase.core.ids import CLOCK_SKEW_S, Keyring, Pseudonym, new_request_id
from omakase.core.suggestion import suggest
from omakase.ports.orders import Order
from tracking.events import Moment, Rejected, UnixSeconds

_Id: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class OrderIn(BaseModel):
    """One line of an order, or the return of one. One of `user_id` and `anonymous_id` is required."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "user_id": "u1",
                "order_id": "2025-1009",
                "item_id": "sneaker-white",
                "value": 89.0,
                "currency": "CHF",
                "occurred_at": "2025-10-09T08:53:20Z",
            }
        },
    )

    user_id: _Id | None = Field(default=None, description="who was logged in; as the recommendation was asked for")
    anonymous_id: _Id | None = Field(default=None, description="the device or visit; as above")
    order_id: _Id = Field(description="with item_id it names the line: the same line sent twice counts once")
    item_id: _Id
    type: Literal["conversion", "return"] = "conversion"
    value: float | None = Field(
        default=None,
        ge=0,
        le=MAX_VALUE,
        allow_inf_nan=False,
        strict=True,
        description="what the line is worth; of a return how much of it is taken back, all if it is left out",
    )
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")] = Field(description="ISO 4217, such as CHF")
    occurred_at: Moment | UnixSeconds = Field(description="the shop's clock: ISO 8601 with an offset or Unix seconds")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.user_id is None and self.anonymous_id is None:
            raise ValueError("send user_id or anonymous_id, or both")
        if self.value is None and self.type == CONVERSION:
            raise ValueError("a conversion needs its value")
        return self


class OrdersIn(BaseModel):
    """Order lines. Each is accepted or rejected on its own."""

    model_config = ConfigDict(extra="forbid")

    conversions: list[OrderIn]


_FIELDS = OrderIn.model_fields
_SENTENCES = {
    "occurred_at": "must be a date as text in ISO 8601 with an offset, or Unix seconds",
    "value": f"must be a number from 0 to {MAX_VALUE:g}",
    "currency": "must be three capital letters",
    "type": "must be conversion or return",
    **dict.fromkeys(("user_id", "anonymous_id", "order_id", "item_id"), "must be text of 1 to 256 characters"),
}


class OrderReader:
    """Turns what the shop sent into order lines, or says why not. People become pseudonyms here."""

    def __init__(self, keyring: Keyring, currency: str | None, window_s: float, random: Callable[[int], bytes]) -> None:
        self._keyring = keyring
        self._currency = currency
        self._window_s = window_s
        self._random = random

    def follow(self, currency: str | None, window_s: float) -> None:
        """Take this currency within this window from now on."""
        self._currency, self._window_s = currency, window_s

    def read(self, raw: object, now: float) -> Order:
        """Raises: Rejected."""
        try:
            sent = OrderIn.model_validate(raw)
        except ValidationError as error:
            raise Rejected("malformed", _explain(error)) from None
        if self._currency is not None and sent.currency != self._currency:
            raise Rejected("currency_unknown", f"amounts are in {self._currency} here: convert it before you send it")
        occurred_at = sent.occurred_at.timestamp() if isinstance(sent.occurred_at, datetime) else sent.occurred_at
        if not now - self._window_s <= occurred_at <= now + CLOCK_SKEW_S:
            raise Rejected(
                "occurred_at_out_of_range",
                f"occurred_at must lie within the last {self._window_s:g} s, the attribution window",
            )
        return Order(
            receipt_id=new_request_id(now, self._random),
            line=line_of(sent.order_id, sent.item_id),
            type=sent.type,
            people=self._people(sent),
            item_id=sent.item_id,
            value=sent.value,
            occurred_at=occurred_at,
            received_at=now,
        )

    def _people(self, sent: OrderIn) -> tuple[Pseudonym, ...]:
        named = (("user", sent.user_id), ("anonymous", sent.anonymous_id))
        return tuple(self._keyring.pseudonym(kind, name) for kind, name in named if name is not None)  # type: ignore[arg-type]


def line_of(order_id: str, item_id: str) -> bytes:
    """The name of an order line, and of its return: 16 bytes."""
    return sha256(json.dumps([order_id, item_id]).encode()).digest()[:16]


def _explain(error: ValidationError) -> str:
    """What is wrong, in our words, a sentence a field; no value is repeated."""
    said: dict[str, str] = {}
    for fault in error.errors(include_url=False, include_input=False):
        field = str(fault["loc"][0])[:64] if fault["loc"] else ""
        if not field:
            is_ours = fault["type"] == "value_error"
            said[field] = fault["msg"].removeprefix("Value error, ") if is_ours else "an order line must be an object"
        elif fault["type"] == "extra_forbidden":
            said[field] = f"{field}: is not a field{suggest(field, _FIELDS)}"
        elif fault["type"] == "missing":
            said[field] = f"{field}: is required"
        else:
            said[field] = f"{field}: {_SENTENCES[field]}"
    return "; ".join(list(said.values())[:5])
