"""What the OpenAPI document says of answers that are no success."""

from __future__ import annotations

from typing import Any, TypeAlias

Responses: TypeAlias = dict[int | str, dict[str, Any]]

_SENTENCES = {
    400: "The body is not JSON",
    404: "No such thing",
    409: "Somebody else keeps changing it, or it cannot be read: `detail` says what to do",
    412: "`If-Match` names another state: read again",
    413: "Too large a body",
    422: "It does not fit; see `detail`, and `errors` if there are any",
    428: "Say by `If-Match` which state is to be replaced",
    501: "This deployment does not say where that is kept",
    503: "The store is away, or this process is starting",
}
_PROBLEM: dict[str, Any] = {"application/problem+json": {}}
_EVERYWHERE: Responses = {
    401: {"description": "No API key, or one that is not known", "content": _PROBLEM},
    403: {"description": "A key of another scope", "content": _PROBLEM},
    429: {"description": "More calls than the key may make", "content": _PROBLEM},
}


def problems(*statuses: int) -> Responses:
    """Those of every route, and these."""
    return {**_EVERYWHERE, **{status: {"description": _SENTENCES[status], "content": _PROBLEM} for status in statuses}}
