"""What the OpenAPI document says of answers that are no success."""

from __future__ import annotations

from typing import Any, TypeAlias

from omakase.serving.openapi import problem_told

Responses: TypeAlias = dict[int | str, dict[str, Any]]

_SENTENCES = {
    400: "The body is not JSON",
    404: "No such thing",
    409: "Somebody else keeps changing it, or it cannot be read: `detail` says what to do",
    412: "`If-Match` names another state: read again",
    413: "Too large a body",
    415: "A compressed body",
    422: "It does not fit; see `detail`, and `errors` if there are any",
    428: "Say by `If-Match` which state is to be replaced",
    501: "This deployment does not say where that is kept",
    503: "The store is away, or this process is starting",
}
_EVERYWHERE: Responses = {
    401: problem_told("No API key, or one that is not known"),
    403: problem_told("A key of another scope"),
    429: problem_told("More calls than the key may make"),
}


def problems(*statuses: int) -> Responses:
    """Those of every route, and these; 415 with 413, for both are of the body."""
    all_of = {*statuses, 415} if 413 in statuses else statuses
    return {**_EVERYWHERE, **{status: problem_told(_SENTENCES[status]) for status in all_of}}
