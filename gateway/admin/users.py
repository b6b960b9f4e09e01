"""People who are to be forgotten."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin.call import PREFIX, Calling
from gateway.admin.told import problems
from omakase.core.errors import InvalidInput

router = APIRouter(prefix=f"{PREFIX}/users", tags=["admin"])

_Id = Annotated[str | None, Field(min_length=1, max_length=256)]


class ForgetRequest(BaseModel):
    """Whom: as recommendations were asked for. One of both, or both for one person."""

    model_config = ConfigDict(extra="forbid")

    user_id: _Id = None
    anonymous_id: _Id = None


class ForgottenAnswer(BaseModel):
    """How much was reached, by place."""

    reached: dict[str, int]


@router.post(":forget", responses=problems(400, 413, 422, 501, 503), summary="Forget a person")
async def forget(person: ForgetRequest, call: Calling) -> ForgottenAnswer:
    """Everywhere, as `omakase users forget` does. Answers when it is done; repeat it after any failure."""
    premises = call.admin.premises
    if premises is None:
        told = "this gateway is not told where all is kept: see OMAKASE_DATA_DIR and OMAKASE_DELIVERIES"
        raise HTTPException(HTTPStatus.NOT_IMPLEMENTED, told)
    named: list[tuple[Literal["user", "anonymous"], str | None]] = [
        ("user", person.user_id),
        ("anonymous", person.anonymous_id),
    ]
    people = [call.admin.keyring.pseudonym(kind, name) for kind, name in named if name]
    if not people:
        raise InvalidInput("name somebody: give user_id, or anonymous_id, or both")
    return ForgottenAnswer(reached=await call.admin.blocking(premises.forget, people))
