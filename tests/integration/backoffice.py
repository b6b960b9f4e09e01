"""Somebody with a key of scope `admin` at a gateway."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator
from typing import Any

from omakase.api_keys import Scope
from omakase.issuing import create_key
from tests.integration.stage import PATIENCE_S, RunningGateway

ADMIN = "/admin/v1"


class Operator:
    """Calls `/admin/v1`, one connection a call."""

    def __init__(self, gateway: RunningGateway, name: str = "ops", scope: Scope = Scope.ADMIN, **limits: Any) -> None:
        self.gateway = gateway
        self.key = create_key(gateway.keys, name, scope, **limits)

    def send(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=PATIENCE_S)
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, ADMIN + path, body, {"Authorization": f"Bearer {self.key}", **told})
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def does(self, method: str, path: str, body: Any = None, expecting: int = 200) -> Any:
        """Send JSON, or bytes as they are, and get the answer's JSON."""
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        status, _, answer = self.send(method, path, sent, Content_Type="application/json")
        assert status == expecting, answer
        return json.loads(answer) if answer else None

    def sends_lines(self, path: str, lines: Iterable[Any]) -> list[dict[str, Any]]:
        """What is told of them, a dictionary a line."""
        status, headers, answer = self.send("POST", path, b"".join(ndjson(lines)))
        assert (status, headers["content-type"]) == (200, "application/x-ndjson"), answer
        return [json.loads(line) for line in answer.splitlines()]


def ndjson(lines: Iterable[Any]) -> Iterator[bytes]:
    """Objects as JSON, bytes as they are, each in a line."""
    for line in lines:
        yield (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n"
