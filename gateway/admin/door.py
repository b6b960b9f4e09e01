"""Who comes in: keys of scope `admin`, before anything of a request is read; and one line in the log for each call."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.admin import configuration, contexts, experiments, items, models, placements, users
from gateway.admin.call import PREFIX, Admin, Call
from omakase.core.errors import Refused
from omakase.logs import correlate
from omakase.serving.http import failure

RESOURCES = placements, experiments, configuration, items, contexts, models, users
# Read and worked on piece by piece, whatever their size.
STREAMED = frozenset(items.STREAMED | contexts.STREAMED)


def install(app: FastAPI, admin: Admin) -> None:
    """Add the resources, behind the door. To be called after what must come behind it, such as limits of bodies."""
    for resource in RESOURCES:
        app.include_router(resource.router)
    app.add_middleware(Door, admin=admin)


class Door:
    """Lets operators in, notes what they did, and leaves every other path to `app`."""

    def __init__(self, app: ASGIApp, admin: Admin) -> None:
        self._app = app
        self._admin = admin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(f"{PREFIX}/"):
            await self._app(scope, receive, send)
            return
        try:
            key = self._admin.gate.admit(scope["headers"])
        except Refused as error:  # counted and logged already, in few lines however many come
            await failure(error)(scope, receive, send)
            return
        correlate()
        call = scope[Call.__name__] = Call(self._admin, key.name, scope["method"])
        status = 499  # who has gone before there was an answer

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            status = 500
            raise
        finally:
            call.close(getattr(scope.get("route"), "path_format", PREFIX), status)
