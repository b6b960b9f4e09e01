"""The door of tracking: who asks, and whether it is the shop's own server."""

from __future__ import annotations

from fastapi import Request

from omakase.core.errors import Unauthorized
from omakase.core.events import Event
from omakase.serving.access import Gate
from tracking.traffic import Caller, TrafficRules


class Door:
    """Looks at a request's headers, and at how its events come.

    `address_header` names the header in which the proxy before us says who called it, such as X-Forwarded-For; None:
    nobody is believed, and the address is that of the connection. `address_proxies` of ours add to it, one after the
    other.
    """

    def __init__(
        self,
        gate: Gate | None,
        traffic: TrafficRules | None,
        address_header: str | None = None,
        address_proxies: int = 1,
    ) -> None:
        self._gate = gate
        self._traffic = traffic
        self._address_header = address_header
        self._address_proxies = address_proxies

    def caller(self, request: Request) -> Caller:
        """Who sends this: a server if it shows a key, else a browser. Raises: Refused for a wrong key."""
        if "authorization" in request.headers:
            return self.server(request)
        return Caller(self._address(request), request.headers.get("user-agent", ""))

    def server(self, request: Request) -> Caller:
        """The same, where a key is required. Raises: Refused."""
        if self._gate is None:
            raise Unauthorized("no key is known here")
        self._gate.admit(request.scope["headers"])
        return Caller(by_server=True)

    def judge(self, events: list[Event], caller: Caller) -> list[Event]:
        """The events, those marked that are no person's."""
        return events if self._traffic is None else self._traffic.judge(events, caller)

    def _address(self, request: Request) -> str:
        if self._address_header is not None:
            # What our own proxies saw stands at the end; what stands before it the caller may have made up.
            told = ",".join(request.headers.getlist(self._address_header)).split(",")
            if len(told) >= self._address_proxies and told != [""]:
                return told[-self._address_proxies].strip()
        return request.client.host if request.client else ""


OPEN = Door(None, None)
