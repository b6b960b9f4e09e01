"""What the gateway takes, as JSON. The bounds here hold for every placement; `Surface.check` adds its own."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Any, Self, TypeAlias, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from omakase.core.errors import InvalidFeature
from omakase.core.suggestion import suggest
from omakase.core.values import Facts, Value, facts_of

MAX_EXCLUDED = 1000
MAX_CANDIDATES = 100_000
MAX_FACTS = 64
MAX_FILTERED = 16
MAX_TEXT = 1024
MAX_LIST = 1000
MAX_CURSOR = 100_000
MAX_SLATES = 20
_FAULTS_SHOWN = 10


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the character U+0000")
    return text


def _fits(name: str, value: Value) -> None:
    texts = (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ()
    if len(texts) > MAX_LIST:
        raise ValueError(f"{name!r} may have at most {MAX_LIST} elements")
    for text in texts:
        if isinstance(text, str) and (len(text) > MAX_TEXT or "\0" in text):
            raise ValueError(f"{name!r} may have at most {MAX_TEXT} characters, U+0000 not among them")


def _facts(raw: dict[str, Any]) -> Facts:
    try:
        facts = facts_of(raw)
    except InvalidFeature as error:
        raise ValueError(str(error)) from error
    for name, value in facts.items():
        _fits(name, value)
    return facts


Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_without_nul)]
FactName: TypeAlias = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_without_nul)]
_FACT_SCHEMA = {
    "anyOf": [
        {"type": "string", "maxLength": MAX_TEXT},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "array", "items": {"type": "string", "maxLength": MAX_TEXT}, "maxItems": MAX_LIST},
        {"type": "array", "items": {"type": "number"}, "maxItems": MAX_LIST},
    ]
}


def _facts_schema(most: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "object", "maxProperties": most, "additionalProperties": _FACT_SCHEMA})


Context: TypeAlias = Annotated[
    dict[FactName, Any], Field(max_length=MAX_FACTS), AfterValidator(_facts), _facts_schema(MAX_FACTS)
]
Filter: TypeAlias = Annotated[
    dict[FactName, Any], Field(max_length=MAX_FILTERED), AfterValidator(_facts), _facts_schema(MAX_FILTERED)
]


class Consent(BaseModel):
    """What the person has agreed to."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    personalise: bool = Field(
        default=True,
        description="May their context shape the slate? If not, neither the stored context nor the one in the request "
        "is used or recorded; only the time is.",
    )
    measure: bool = Field(
        default=True,
        description="May the slate be laid to the person? If not, it is recorded without ids and without context.",
    )


class Wish(BaseModel):
    """What to show, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    placement: Id = Field(description="A placement of the configuration.")
    limit: Annotated[int, Field(ge=1, le=255)] | None = Field(
        default=None,
        description="How many items at most; the placement's `slots` if absent, never above its `max_limit`.",
    )
    candidates: Annotated[list[Id], Field(fail_fast=True, max_length=MAX_CANDIDATES)] | None = Field(
        default=None,
        description="The only items that may be shown, at most the placement's `max_candidates`. Absent or null: the "
        "whole catalogue. Empty: nothing.",
    )
    filter: Filter = Field(
        default_factory=dict,
        description="Show only items that have each of these facts with this value, or one of these values if it is a "
        "list. Where an item's own fact is a list, one value in it must be among them.",
    )
    cursor: Annotated[str, Field(max_length=MAX_CURSOR)] | None = Field(
        default=None,
        description="To go on later, begin with an empty text: the answer then has a `cursor`, which asks for more "
        "of the same without what was shown before. It is good for this person at this placement.",
    )


class Visitor(BaseModel):
    """Who is asked for. One of `user_id` and `anonymous_id` is required."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    user_id: Id | None = Field(default=None, description="Who is logged in.")
    anonymous_id: Id | None = Field(
        default=None,
        description="The device or visit. If it is sent, the variant sticks to it, so that logging in changes nothing.",
    )
    context: Context = Field(
        default_factory=dict,
        description="Facts of this request: texts, finite numbers, truth values, or lists of the first two. They win "
        "over what is stored of the user, and over the `hour` and `weekday` derived in the placement's time zone.",
    )
    exclude: Annotated[list[Id], Field(fail_fast=True, max_length=MAX_EXCLUDED)] = Field(
        default_factory=list, description="Items not to show. Unknown ones are no error."
    )
    consent: Consent = Consent()

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if self.user_id is None and self.anonymous_id is None:
            raise ValueError("send user_id or anonymous_id, or both")
        return self


class RecommendationRequest(Wish, Visitor):
    """What to show this person here? One of `user_id` and `anonymous_id` is required."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "placement": "home-top",
                    "user_id": "u1",
                    "anonymous_id": "a1",
                    "context": {"device": "ios"},
                    "limit": 3,
                    "exclude": ["i9"],
                    "consent": {"personalise": True, "measure": True},
                }
            ]
        },
    )


class PageRequest(Visitor):
    """What to show this person at the placements of one page? No item is shown twice on it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"anonymous_id": "a1", "slates": [{"placement": "home-top", "limit": 3}, {"placement": "home-end"}]}
            ]
        },
    )

    slates: Annotated[list[Wish], Field(min_length=1, max_length=MAX_SLATES)] = Field(
        description="From the top of the page: what one shows is not shown by those below it."
    )

    def requests(self) -> Iterator[RecommendationRequest]:
        """One for each slate, not yet without what the others show."""
        visitor = {name: getattr(self, name) for name in Visitor.model_fields}
        for wish in self.slates:
            asked = {name: getattr(wish, name) for name in Wish.model_fields}
            yield RecommendationRequest.model_construct(**visitor, **asked)  # each part has been validated


Parsed = TypeVar("Parsed", RecommendationRequest, PageRequest)


def parse(kind: type[Parsed], body: bytes) -> Parsed:
    """Read a request's body, once and strictly: what is not UTF-8, not JSON or does not fit is refused.

    Raises: HTTPException 400 for what is no JSON; RequestValidationError naming the fields at fault and what they take,
    and nothing that was in them.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        if faults[0]["type"] == "json_invalid":
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"the body is not JSON in UTF-8: {faults[0]['msg']}") from None
        raise RequestValidationError([_told(fault, kind) for fault in faults[:_FAULTS_SHOWN]]) from None


def _told(fault: ErrorDetails, kind: type[BaseModel]) -> dict[str, object]:
    """Field and message, in our words. A name that the caller chose is cut short: it may be of any length."""
    location = [str(part)[:64] for part in fault["loc"] if part != "[key]"]
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        nested: dict[str, type[BaseModel]] = {"consent": Consent, "slates": Wish}
        known = nested.get(location[0], kind).model_fields
        message = "is not a field" + suggest(location[-1], known)
    return {"loc": location, "msg": message}
