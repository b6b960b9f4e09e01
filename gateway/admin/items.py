"""Items: read, put, changed, one by one or by the thousand. Every reader shows a change within seconds."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel
from starlette.responses import Response

from gateway.admin.call import PREFIX, Calling
from gateway.admin.lines import LINES, PROGRESS, Fault, Line, LinesResponse, Worked, parse
from gateway.admin.told import problems
from omakase.core.catalogue import Item
from omakase.core.errors import InvalidInput, NotFound
from omakase.entries import change_of, item_of
from omakase.ports.catalogue_store import CatalogueStore

router = APIRouter(prefix=f"{PREFIX}/items", tags=["admin"])
STREAMED = frozenset({f"{PREFIX}/items:bulk", f"{PREFIX}/items:patch"})

Whole: TypeAlias = Annotated[
    dict[str, Any], Body(examples=[{"metadata": {"category": "shoes", "price": 59.0}, "value": 6.5, "stock": 12}])
]
Change: TypeAlias = Annotated[dict[str, Any], Body(examples=[{"hidden": True}])]


class ItemAnswer(BaseModel):
    """An item as it is kept."""

    item_id: str
    metadata: dict[str, Any]
    value: float | None
    in_stock: bool
    stock: int | None
    hidden: bool


class ItemsAnswer(BaseModel):
    """Items in the order of their ids; `cursor` asks for those behind, null at the end."""

    items: list[ItemAnswer]
    cursor: str | None


@router.get("", responses=problems(422, 503), summary="A page of items")
async def list_items(
    call: Calling,
    cursor: Annotated[str, Query(description="Of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ItemsAnswer:
    """Every item that is there all the while is on one page, whatever is put meanwhile."""
    found = await call.admin.blocking(call.admin.catalogue.page, _decoded(cursor), limit + 1)
    following = _encoded(found[limit].item_id) if len(found) > limit else None
    return ItemsAnswer(items=[_answer(item) for item in found[:limit]], cursor=following)


@router.get("/{item_id:path}", responses=problems(404, 503), summary="One item")
async def get_item(item_id: str, call: Calling) -> ItemAnswer:
    found = await call.admin.blocking(call.admin.catalogue.page, item_id, 1)
    if not found or found[0].item_id != item_id:
        raise NotFound("no such item")
    call.note(item_id)
    return _answer(found[0])


@router.put("/{item_id:path}", responses=problems(400, 413, 422, 503), summary="Add or replace an item")
async def put_item(item_id: str, entry: Whole, call: Calling) -> ItemAnswer:
    """As a whole: what is left out is as if it had never been said."""
    item = item_of({**entry, "item_id": _same(item_id, entry)})
    await call.admin.blocking(call.admin.catalogue.put, [item])
    call.note(item_id)
    return _answer(item)


@router.patch("/{item_id:path}", responses=problems(400, 404, 413, 422, 503), summary="Change an item")
async def patch_item(item_id: str, entry: Change, call: Calling) -> ItemAnswer:
    """`hidden`, `in_stock`, `stock` and `value`; null takes a stock or a value away. The rest stays as it is."""
    _, fields = change_of({**entry, "item_id": _same(item_id, entry)})
    changed = await call.admin.blocking(call.admin.catalogue.update, [item_id], lambda item: replace(item, **fields))
    if not changed:
        raise NotFound("no such item")
    call.note(item_id)
    return _answer(changed[0])


@router.post(
    ":bulk",
    response_class=Response,
    responses={**problems(415, 503), 200: PROGRESS},
    openapi_extra={"requestBody": LINES},
    summary="Add or replace many items",
)
async def put_items(call: Calling) -> Response:
    """One JSON object a line, as `omakase items import` reads it; of any number."""
    return LinesResponse(call, partial(_put, call.admin.catalogue))


@router.post(
    ":patch",
    response_class=Response,
    responses={**problems(415, 503), 200: PROGRESS},
    openapi_extra={"requestBody": LINES},
    summary="Change many items",
)
async def patch_items(call: Calling) -> Response:
    """One JSON object a line: `item_id`, and what changes."""
    return LinesResponse(call, partial(_patch, call.admin.catalogue))


def _put(catalogue: CatalogueStore, lines: list[Line]) -> Worked:
    parsed, faults = parse(lines, item_of)
    if parsed:
        catalogue.put([item for _, item in parsed])
    return Worked(len(parsed), faults)


def _patch(catalogue: CatalogueStore, lines: list[Line]) -> Worked:
    parsed, faults = parse(lines, change_of)
    changes: dict[str, Mapping[str, Any]] = {}
    for _, (item_id, fields) in parsed:
        changes[item_id] = {**changes.get(item_id, {}), **fields}
    known = {item.item_id for item in catalogue.update(changes, lambda item: replace(item, **changes[item.item_id]))}
    unknown = [Fault(line.number, "no such item") for line, (item_id, _) in parsed if item_id not in known]
    return Worked(len(parsed) - len(unknown), sorted([*faults, *unknown]))


def _same(item_id: str, entry: dict[str, Any]) -> str:
    if entry.get("item_id", item_id) != item_id:
        raise InvalidInput("item_id: the body names another item than the path")
    return item_id


def _answer(item: Item) -> ItemAnswer:
    return ItemAnswer(**asdict(item))


def _encoded(item_id: str) -> str:
    return urlsafe_b64encode(item_id.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        raise InvalidInput("cursor: not one of ours") from None
