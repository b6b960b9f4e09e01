"""The learnt models: looked at, downloaded, put, frozen, rolled back, let learn again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin.call import PREFIX, Admin, Calling
from gateway.admin.told import problems
from omakase import models
from omakase.configured import models_of
from omakase.core.errors import Conflict, Corrupt, NotFound
from omakase.models import Damaged, Published
from omakase.ports.model_store import Generation, ModelKey
from omakase.snapshots import encode_snapshot

router = APIRouter(prefix=f"{PREFIX}/models", tags=["admin"])

_BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
_NAME = "/{name:path}"


class ModelAnswer(BaseModel):
    """A model's newest snapshot. Where it cannot be read `corrupt` says why, and the rest is null."""

    model: str
    generation: int
    corrupt: str | None = None
    examples: int | None = None
    click_rate: float | None = None
    dimensions: int | None = None
    published_at: str | None = None
    frozen: bool | None = None
    reason: str | None = None
    sequences: dict[str, int] | None = None


class ModelHistoryAnswer(ModelAnswer):
    """And the generations that are kept, newest first."""

    history: list[int]


class ModelsAnswer(BaseModel):
    """All models that were ever published."""

    models: list[ModelAnswer]


class RollbackRequest(BaseModel):
    """A kept generation; without it the one before the newest."""

    model_config = ConfigDict(extra="forbid")

    to: Annotated[int | None, Field(ge=1)] = None


@router.get("", responses=problems(503), summary="All models")
async def list_models(call: Calling) -> ModelsAnswer:
    found = await call.admin.blocking(models.survey, call.admin.models)
    return ModelsAnswer(models=[_answer(one) for one in found])


@router.get(
    f"{_NAME}:snapshot",
    response_class=Response,
    responses={**problems(404, 409, 422, 503), 200: _BYTES},
    summary="The newest snapshot, to keep",
)
async def get_snapshot(name: str, call: Calling) -> Response:
    found = await _done(call, lambda: _newest(call.admin, name))
    call.note(found.key)
    return Response(encode_snapshot(found.snapshot), media_type="application/octet-stream")


@router.get(_NAME, responses=problems(404, 422, 503), summary="One model")
async def get_model(name: str, call: Calling) -> ModelHistoryAnswer:
    """By its name, or as name/schema where it has several schemas."""

    def look() -> ModelHistoryAnswer:
        store = call.admin.models
        key = models.resolve(store, name)
        return ModelHistoryAnswer(**_answer(models.look(store, key)).model_dump(), history=list(store.history(key)))

    found = await call.admin.blocking(look)
    call.note(found.model)
    return found


@router.put(
    _NAME,
    responses=problems(404, 409, 413, 422, 503),
    openapi_extra={"requestBody": {"required": True, **_BYTES}},
    summary="Publish a snapshot from elsewhere",
)
async def put_model(name: str, request: Request, call: Calling) -> ModelAnswer:
    """What `:snapshot` gave, here or elsewhere. Refused if it is not of this model as configured, or not fit to serve.

    What was learnt here is given up. A frozen model stays frozen, any other learns on from it. At most
    `OMAKASE_MAX_BODY_BYTES`.
    """
    body = await request.body()

    def put() -> Published:
        configured = models_of(call.admin.configuration.in_force.product)
        found = [one for key, one in configured.items() if name in (key, one.name)]
        if not found:
            raise NotFound(f"the configuration has no model of this name; known: {', '.join(configured)}")
        return models.put(call.admin.models, found[0], body, call.admin.clock.now())

    return _noted(call, await _done(call, put))


@router.post(f"{_NAME}:freeze", responses=problems(404, 409, 422, 503), summary="Stop learning")
async def freeze_model(name: str, call: Calling) -> ModelAnswer:
    """What is learnt meanwhile waits. Repeated, it changes nothing."""

    def freeze() -> Published:
        return models.freeze(call.admin.models, models.resolve(call.admin.models, name), call.admin.clock.now())

    return _noted(call, await _done(call, freeze))


@router.post(f"{_NAME}:rollback", responses=problems(400, 404, 409, 413, 422, 503), summary="Serve an older generation")
async def roll_back_model(name: str, rollback: RollbackRequest, call: Calling) -> ModelAnswer:
    """And freeze learning until `:resume`. Name the generation, and repeating it does no harm."""

    def roll_back() -> Published:
        store, to = call.admin.models, None if rollback.to is None else Generation(rollback.to)
        key = models.resolve(store, name)
        return models.roll_back(store, key, to, call.admin.clock.now(), _settled(call.admin, key))

    return _noted(call, await _done(call, roll_back))


@router.post(f"{_NAME}:resume", responses=problems(404, 409, 422, 503), summary="Learn again")
async def resume_model(name: str, call: Calling) -> ModelAnswer:
    """What waited is learnt. Repeated, it changes nothing."""

    def resume() -> Published:
        return models.resume(call.admin.models, models.resolve(call.admin.models, name), call.admin.clock.now())

    return _noted(call, await _done(call, resume))


def _newest(admin: Admin, name: str) -> Published:
    return models.newest(admin.models, models.resolve(admin.models, name))


async def _done(call: Calling, work: Callable[[], Published]) -> Published:
    """Raises: Conflict where the newest snapshot cannot be read, and the message says what to do first."""
    try:
        return await call.admin.blocking(work)
    except Corrupt as error:
        raise Conflict(str(error)) from error


def _settled(admin: Admin, key: ModelKey) -> dict[str, int]:
    """Asked only where the newest snapshot cannot say it. Raises: Conflict where nobody else can either."""
    if isinstance(models.look(admin.models, key), Published):
        return {}
    if admin.premises is None:
        raise Conflict(f"the newest snapshot of {key} cannot be read: roll it back where the trainer keeps its state")
    return admin.premises.settled(key)


def _noted(call: Calling, published: Published) -> ModelAnswer:
    call.note(published.key, generation=published.generation)
    return _answer(published)


def _answer(one: Published | Damaged) -> ModelAnswer:
    summary: dict[str, Any] = models.summary(one)
    return ModelAnswer(**summary)
