"""What the competitors take and give: the gateway's own fields and bounds."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=64)]


class Consent(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    personalise: bool = True
    measure: bool = True


class Ask(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    placement: Id
    user_id: Id | None = None
    anonymous_id: Id | None = None
    context: Annotated[dict[Name, Any], Field(max_length=64)] = {}
    limit: Annotated[int, Field(ge=1, le=255)] | None = None
    exclude: Annotated[list[Id], Field(max_length=1000)] = []
    candidates: Annotated[list[Id], Field(max_length=100_000)] | None = None
    filter: Annotated[dict[Name, Any], Field(max_length=16)] = {}
    consent: Consent = Consent()


class RankedItem(BaseModel):
    item_id: str
    delivery_id: str
    position: int
    score: float
    predicted_click: float | None
    expected_value: float | None


class Slate(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    request_id: str
    placement: str
    variant: str
    policy: str
    model_version: str | None
    fallback: bool
    ignored: list[str]
    items: list[RankedItem]
