"""The door of tracking: who asks, and whether it is the shop's own server."""

from __future__ import annotations

from http import HTTPStatus
from typing import NoReturn

from fastapi import HTTPException, Request

from omakase.core.events import Event
from omakase.server_keys import ServerKeys
from tracking.traffic import Caller, TrafficRules

_SCHEME = "bearer "
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Door:
    """Looks at a request's headers, and at how its events come.

    `address_header` names the header in which the proxy before us says who called it, such as X-Forwarded-For; None:
    nobody is believed, and the address is that of the connection.
    """

    def __init__(
        self, keys: ServerKeys | None, traffic: TrafficRules | None, address_header: str | None = None
    ) -> None:
        self._keys = keys
        self._traffic = traffic
        self._address_header = address_header

    def caller(self, request: Request) -> Caller:
        """Who sends this: a server if it shows a key, else a browser. Raises: HTTPException 401 for a wrong key."""
        headers = request.headers
        shown = headers.get("authorization")
        if shown is not None:
            return self._server(shown)
        return Caller(self._address(request), headers.get("user-agent", ""))

    def server(self, request: Request) -> Caller:
        """The same, where a key is required. Raises: HTTPException 401."""
        shown = request.headers.get("authorization")
        if shown is None:
            _refuse("this needs a server key: Authorization: Bearer KEY; `omakase keys add NAME` makes one")
        return self._server(shown)

    def judge(self, events: list[Event], caller: Caller) -> list[Event]:
        """The events, those marked that are no person's."""
        return events if self._traffic is None else self._traffic.judge(events, caller)

    def _server(self, shown: str) -> Caller:
        scheme, key = shown[: len(_SCHEME)].lower(), shown[len(_SCHEME) :].strip()
        if self._keys is None or scheme != _SCHEME or self._keys.owner(key) is None:
            _refuse("this is no server key of ours")
        return Caller(by_server=True)

    def _address(self, request: Request) -> str:
        if self._address_header is not None:
            # The last one is what our own proxy saw; what stands before it the caller may have made up.
            told = request.headers.getlist(self._address_header)
            if told:
                return told[-1].rpartition(",")[2].strip()
        return request.client.host if request.client else ""


def _refuse(detail: str) -> NoReturn:
    raise HTTPException(HTTPStatus.UNAUTHORIZED, detail, _CHALLENGE)


OPEN = Door(None, None)
