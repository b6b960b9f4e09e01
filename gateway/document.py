"""What the OpenAPI document says of the routes that are answered before FastAPI is asked."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Header, Query, Response
from pydantic import BaseModel

from gateway.answers import EXAMPLE, Page, Recommendation
from gateway.api import PageRequest, RecommendationRequest
from gateway.idempotency import MAX_KEY
from gateway.route import PAGE_PATH, PATH
from omakase.serving.openapi import inline_schema, problem_told

_EXPLAIN = "Say why each item stands where it does."
_TIMEOUT = "How long to wait for a recommender before a fallback is the answer; never longer than is configured."
_OVERRIDE = "A signed permission to see one variant; `omakase experiments override` makes one."
_REPEATED = (
    "Sent again with the same request, it gets the same answer, for ten minutes, from the same gateway process; with "
    "another request it is refused."
)


def describe(app: FastAPI) -> None:
    """Add the paths of `RecommendationsRoute`."""
    _add(app, PATH, "What to show this person here", RecommendationRequest, Recommendation, EXAMPLE)
    summary = "What to show this person at the placements of one page"
    _add(app, PAGE_PATH, summary, PageRequest, Page, {"slates": [EXAMPLE]})


def _add(
    app: FastAPI, path: str, summary: str, request: type[BaseModel], answer: type[msgspec.Struct], example: object
) -> None:
    body = {**inline_schema(request.model_json_schema()), "additionalProperties": False}
    responses: dict[int | str, dict[str, Any]] = {
        200: {
            "content": {"application/json": {"schema": inline_schema(msgspec.json.schema(answer)), "example": example}}
        },
        400: problem_told("The body is not JSON in UTF-8"),
        401: problem_told("No API key, or one that is not known"),
        403: problem_told("The API key is for other placements, or the override for somebody else"),
        404: problem_told("No such placement"),
        413: problem_told("Too large a body"),
        415: problem_told("A compressed body"),
        422: problem_told("It does not fit"),
        429: problem_told("More requests than the API key may make"),
        503: problem_told("Before the first catalogue, and when there are too many requests at once"),
    }
    app.add_api_route(
        path,
        _answered_before,
        methods=["POST"],
        operation_id=request.__name__,
        tags=["recommendations"],
        summary=summary,
        response_class=Response,
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}},
        responses=responses,
    )


async def _answered_before(
    explain: Annotated[bool, Query(description=_EXPLAIN)] = False,
    omakase_timeout_ms: Annotated[int | None, Header(ge=1, le=999_999_999, description=_TIMEOUT)] = None,
    omakase_override: Annotated[str | None, Header(description=_OVERRIDE)] = None,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=MAX_KEY, description=_REPEATED)] = None,
) -> Response:
    raise AssertionError("answered before it comes here")
