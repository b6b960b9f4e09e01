"""One HTTP request on a connection of its own, and what became of it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 25.0  # longer than a locked database is waited for


class Cut(Exception):
    """The connection ended before the answer: nobody knows what was done."""


class HungUp(Exception):
    """We ended it ourselves, with the request out and before the answer: nobody knows either."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: Any


def post(url: str, path: str, body: object, *, hang_up: bool = False) -> Response:
    """Raises: Cut; HungUp where `hang_up` ends the connection as soon as the request is out, as phones do."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        if hang_up:
            raise HungUp
        response = connection.getresponse()
        return Response(response.status, dict(response.getheaders()), json.loads(response.read()))
    except (OSError, http.client.HTTPException) as error:
        raise Cut(repr(error)) from error
    finally:
        connection.close()
