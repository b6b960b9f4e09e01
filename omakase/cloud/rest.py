"""Google's REST APIs, for what no client library here does: who may do what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import google.auth
import requests
from google.api_core.exceptions import (
    BadGateway,
    GatewayTimeout,
    InternalServerError,
    ServiceUnavailable,
    TooManyRequests,
    from_http_response,
)
from google.api_core.retry import Retry, if_exception_type
from google.auth.transport.requests import AuthorizedSession

from omakase.adapters.gcp.errors import cloud_errors

ENDPOINTS: Mapping[str, str] = {
    "bigquery": "https://bigquery.googleapis.com/bigquery/v2",
    "firestore": "https://firestore.googleapis.com/v1",
    "iam": "https://iam.googleapis.com/v1",
    "projects": "https://cloudresourcemanager.googleapis.com/v1",
    "pubsub": "https://pubsub.googleapis.com/v1",
    "storage": "https://storage.googleapis.com/storage/v1",
}

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_ANSWER_S = 20.0
_PASSING = if_exception_type(
    BadGateway,
    GatewayTimeout,
    InternalServerError,
    ServiceUnavailable,
    TooManyRequests,
    requests.ConnectionError,
    requests.Timeout,
)


class Rest:
    """Calls by the name of an API. Raises, all of it: what `google.api_core` calls a failure.

    What may pass is tried again, with jitter, for `patience_s`: so a call may have been done that says it conflicts.
    """

    def __init__(
        self, session: requests.Session, endpoints: Mapping[str, str] = ENDPOINTS, patience_s: float = 30.0
    ) -> None:
        self._session = session
        self._endpoints = endpoints
        self._again = Retry(predicate=_PASSING, initial=0.2, maximum=5.0, multiplier=2.0, timeout=patience_s)

    @classmethod
    def of_this_machine(cls) -> Rest:
        """With the credentials that are here. Raises: InvalidInput if there are none."""
        with cloud_errors("use Google Cloud"):
            credentials, _ = google.auth.default(scopes=[_SCOPE])
        return cls(AuthorizedSession(credentials))

    def call(
        self,
        method: str,
        api: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        parameters: Mapping[str, str] | None = None,
        if_match: str | None = None,
    ) -> dict[str, Any]:
        """What the API answers. `if_match`: the etag of what is to be changed, and of nothing newer."""
        headers = {} if if_match is None else {"If-Match": if_match}
        url = f"{self._endpoints[api]}/{path}"

        def once() -> dict[str, Any]:
            answer = self._session.request(
                method, url, params=parameters, json=body, headers=headers, timeout=_ANSWER_S
            )
            if not answer.ok:
                raise from_http_response(answer)
            told: dict[str, Any] = answer.json()
            return told

        done: dict[str, Any] = self._again(once)()
        return done
