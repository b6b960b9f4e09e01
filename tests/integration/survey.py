"""What the OpenAPI document of a live service declares, and what of it was seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from omakase.api_keys import Scope
from omakase.issuing import create_key
from tests.integration.stage import Visitor

Answer: TypeAlias = tuple[int, dict[str, str], bytes]

TOO_LARGE = b" " * 1_000_001


class Survey:
    """Asks a service, and notes which of the statuses that its document declares it answered with.

    `filled`: what stands in a route's path, or follows it, where a call says nothing else.
    """

    def __init__(self, visitor: Visitor, key: str, **filled: str) -> None:
        self._visitor = visitor
        self._key = key
        self._filled = filled
        self._seen: set[tuple[str, int]] = set()
        document = json.loads(visitor.send("GET", "/openapi.json")[2])
        self._declared: dict[tuple[str, int], dict[str, Any]] = {
            (f"{method.upper()} {path}", int(status)): told
            for path, methods in document["paths"].items()
            for method, route in methods.items()
            for status, told in route["responses"].items()
        }

    def see(self, status: int, route: str, body: Any = None, **asked: Any) -> None:
        """Ask by a route, such as "GET /v1/things/{name}"; see `_ask`. The answer must be as `_note` says."""
        self._note(status, route, self._ask(route, body, **asked))

    def see_all(self, status: int, body: bytes | None = None, under: str = "/", **asked: Any) -> None:
        """The same request by every route below `under` that declares this status."""
        for route in self._routes(status, under):
            self.see(status, route, body, **asked)

    def see_refusals(self, keys: Path, under: str, scope: Scope, other: Scope) -> None:
        """By each route below `under`, whatever is refused for its key, or its body. `scope` is what they take."""
        valid = create_key(keys, f"valid-{scope}", scope)
        rare = create_key(keys, f"rare-{scope}", scope, rate=1, burst=1)
        self.see_all(401, under=under, key="omk_wrong")
        self.see_all(403, under=under, key=create_key(keys, f"other-than-{scope}", other))
        self.see_all(413, TOO_LARGE, under, key=valid, headers={"If-Match": "any"})
        self.see_all(415, b"{}", under, key=valid, headers={"Content-Encoding": "gzip"})
        self.see_all(400, b"{", under, key=valid)
        for route in self._routes(429, under):
            answers = (self._ask(route, key=rare) for _ in range(10))  # the first may be in time
            self._note(429, route, next(answer for answer in answers if answer[0] == 429))

    def unseen(self) -> set[tuple[str, int]]:
        return self._declared.keys() - self._seen

    def _routes(self, status: int, under: str) -> list[str]:
        return [
            route for route, declared in self._declared if declared == status and route.split()[1].startswith(under)
        ]

    def _ask(
        self,
        route: str,
        body: Any = None,
        at: Visitor | None = None,
        key: str | None = None,
        headers: Mapping[str, str] = {},
        **filled: str,
    ) -> Answer:
        """`at`: another service with the same document. `key`: another than this survey's."""
        method, path = route.split()
        filled = {**self._filled, **filled}
        url = path.format_map(filled) + filled.get(path, "")
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        told = {"Authorization": f"Bearer {self._key if key is None else key}", **headers}
        return (at or self._visitor).send(method, url, sent, told)

    def _note(self, status: int, route: str, answer: Answer) -> None:
        """It must have this status, which must be declared, and a type that is declared with it."""
        found, sent, body = answer
        headers = {name.lower(): value for name, value in sent.items()}
        kind = headers.get("content-type", "")
        assert found == status, f"{route}: {body!r}"
        assert (route, status) in self._declared, f"{route} answers {status}, which is not declared: {body!r}"
        assert kind in self._declared[route, status].get("content", {"": {}}), f"{route} answers {status} as {kind}"
        assert status not in (429, 503) or int(headers["retry-after"]) >= 1, f"{route} does not say when to come again"
        self._seen.add((route, status))
