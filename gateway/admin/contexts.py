"""What is known of people before they ask. Who they are stands in bodies only, and is kept as a pseudonym."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from gateway.admin.call import PREFIX, Admin, Calling
from gateway.admin.lines import LINES, PROGRESS, Line, LinesResponse, Worked, parse
from gateway.admin.told import problems
from omakase.core.errors import NotFound
from omakase.core.ids import Keyring
from omakase.entries import context_of
from omakase.ports.context_store import ContextStore

router = APIRouter(prefix=f"{PREFIX}/contexts", tags=["admin"])
STREAMED = frozenset({f"{PREFIX}/contexts:put"})


class PersonRequest(BaseModel):
    """Whom it is about."""

    model_config = ConfigDict(extra="forbid")

    user_id: Annotated[str, Field(min_length=1, max_length=256)]


class ContextAnswer(BaseModel):
    """The facts that were put, and the items that were clicked last, newest last."""

    context: dict[str, Any]
    clicked: list[str]


@router.post(
    ":put",
    response_class=Response,
    responses={**problems(415, 501, 503), 200: PROGRESS},
    openapi_extra={"requestBody": LINES},
    summary="Replace what is known of people",
)
async def put_contexts(call: Calling) -> Response:
    """One JSON object a line, as `omakase contexts import` reads it: `user_id` and `context`; of any number."""
    return LinesResponse(call, partial(_put, _store(call.admin), call.admin.keyring))


@router.post(":get", responses=problems(400, 404, 413, 422, 501, 503), summary="What is known of a person")
async def get_context(person: PersonRequest, call: Calling) -> ContextAnswer:
    store, pseudonym = _store(call.admin), call.admin.keyring.pseudonym("user", person.user_id)
    known = (await call.admin.blocking(store.find, [pseudonym])).get(pseudonym)
    if known is None:
        raise NotFound("nothing is known of this person")
    return ContextAnswer(context=dict(known.facts), clicked=list(known.clicked))


@router.post(
    ":delete",
    status_code=204,
    response_class=Response,
    responses=problems(400, 413, 422, 501, 503),
    summary="Drop what is known of a person",
)
async def delete_context(person: PersonRequest, call: Calling) -> None:
    """Facts and clicks, and nothing else: `users:forget` forgets a person everywhere."""
    store, pseudonym = _store(call.admin), call.admin.keyring.pseudonym("user", person.user_id)
    await call.admin.blocking(store.forget, pseudonym)


def _store(admin: Admin) -> ContextStore:
    if admin.contexts is None:
        raise HTTPException(HTTPStatus.NOT_IMPLEMENTED, "OMAKASE_CONTEXTS does not say where contexts are kept")
    return admin.contexts


def _put(store: ContextStore, keyring: Keyring, lines: list[Line]) -> Worked:
    parsed, faults = parse(lines, lambda entry: context_of(entry, keyring))
    if parsed:
        store.put([context for _, context in parsed])
    return Worked(len(parsed), faults)
