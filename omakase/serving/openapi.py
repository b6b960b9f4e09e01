"""What the OpenAPI documents of the services have in common: schemas without references, and errors in one form."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

_TEXT = {"type": "string"}
_PROBLEM = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": {**_TEXT, "description": "What is wrong, and what to change."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": _TEXT, "message": _TEXT},
                "additionalProperties": False,
            },
        },
        "correlation_id": {**_TEXT, "description": "The request's `X-Request-Id`, or one made for it."},
    },
    "additionalProperties": False,
}


def problem_told(what: str) -> dict[str, Any]:
    """An error as a route's `responses` have it; see `omakase.serving.http.problem`."""
    return {"description": what, "content": {"application/problem+json": {"schema": _PROBLEM}}}


def inline_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of a body that a route reads by itself, without references: it stands in the OpenAPI alone."""
    schema = dict(schema)
    definitions = schema.pop("$defs", {})

    def inlined(part: Any) -> Any:
        if isinstance(part, dict) and "$ref" in part:
            return {
                **inlined(definitions[part["$ref"].rpartition("/")[2]]),
                **{k: v for k, v in part.items() if k != "$ref"},
            }
        if isinstance(part, dict):
            return {name: inlined(element) for name, element in part.items()}
        return [inlined(element) for element in part] if isinstance(part, list) else part

    found: dict[str, Any] = inlined(schema)
    return found


def tell_own_errors(app: FastAPI) -> None:
    """Leave out what FastAPI adds to every route with parameters: a 422 in a form that no answer here has.

    Routes that answer 422 say so themselves.
    """
    generate = app.openapi

    def generated() -> dict[str, Any]:
        document = generate()
        for operations in document["paths"].values():
            for operation in operations.values():
                if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                    del operation["responses"]["422"]
        for name in ("HTTPValidationError", "ValidationError"):
            document.get("components", {}).get("schemas", {}).pop(name, None)
        return document

    app.openapi = generated  # type: ignore[method-assign]  # as FastAPI's manual does
