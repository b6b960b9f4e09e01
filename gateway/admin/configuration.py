"""The configuration's file: read, and replaced as a whole.

Replacing needs a file that the gateway may write, which is what `omakase up` has, or an object in a bucket that a
cluster shares. Where the file comes from somewhere else, such as a ConfigMap, it is read-only here, and a PUT answers
501: change it where it comes from.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel

from gateway.admin.call import PREFIX, Admin, Calling
from gateway.admin.told import problems
from omakase.core.errors import Conflict, InvalidConfig
from omakase.serving.configuration_file import ConfigurationFile, ReadOnly, SharedConfiguration, digest_of
from omakase.serving.http import problem

router = APIRouter(prefix=f"{PREFIX}/configuration", tags=["admin"])

_YAML = "application/yaml"
_TEXT: dict[str, Any] = {"content": {_YAML: {}}}


class ConfigurationAnswer(BaseModel):
    """`digest` is that of the text that was put; `in_force` that of the configuration the gateway serves by now."""

    digest: str
    in_force: str


@router.get(
    "",
    response_class=Response,
    responses={**problems(501, 503), 200: _TEXT},
    summary="The file as it is",
)
async def get_configuration(call: Calling) -> Response:
    """`ETag` is the digest of the text, which PUT wants; `Omakase-In-Force` that of the configuration in force."""
    text = await call.admin.blocking(_file(call.admin).read)
    headers = {"ETag": f'"{digest_of(text)}"', "Omakase-In-Force": call.admin.configuration.in_force.digest}
    return Response(text, media_type=_YAML, headers=headers)


@router.put(
    "",
    response_model=ConfigurationAnswer,
    responses=problems(412, 413, 422, 428, 501, 503),
    summary="Replace the file",
    openapi_extra={
        "requestBody": {"required": True, **_TEXT},
        "parameters": [{"name": "If-Match", "in": "header", "required": True, "schema": {"type": "string"}}],
    },
)
async def put_configuration(request: Request, call: Calling) -> Response | ConfigurationAnswer:
    """Validated whole; refused with every fault and its line, or written at once and followed within seconds.

    The file before is kept beside it, as `<name>.previous`. Repeating a PUT that went through changes nothing.
    """
    file = _file(call.admin)
    before = request.headers.get("if-match")
    if before is None:
        return problem(HTTPStatus.PRECONDITION_REQUIRED, "If-Match: give the ETag of what is to be replaced")
    try:
        digest = await call.admin.blocking(file.replace, await request.body(), before.strip('"'))
    except InvalidConfig as error:
        faults = [_fault(fault) for fault in error.faults]
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "the configuration is refused; see errors", faults)
    except Conflict as error:
        return problem(HTTPStatus.PRECONDITION_FAILED, str(error))
    except ReadOnly as error:
        raise HTTPException(HTTPStatus.NOT_IMPLEMENTED, str(error)) from error
    call.note(digest)
    return ConfigurationAnswer(digest=digest, in_force=call.admin.configuration.in_force.digest)


def _file(admin: Admin) -> ConfigurationFile | SharedConfiguration:
    path, copy = admin.configuration.path, admin.configuration.copy
    if path is None:
        raise HTTPException(HTTPStatus.NOT_IMPLEMENTED, "the configuration is in no file")
    if copy is not None:
        return SharedConfiguration(copy.shared, path, admin.check)
    return ConfigurationFile(path, admin.check)


def _fault(told: str) -> dict[str, str]:
    line, is_told, message = told.partition(": ")
    return (
        {"field": f"line {line}", "message": message} if is_told and line.isdigit() else {"field": "", "message": told}
    )
