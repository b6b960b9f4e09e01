"""One call of an operator: what it may touch, and what is written down of it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias, TypeVar

from fastapi import Depends, Request

from omakase.config import Product
from omakase.core.ids import Keyring
from omakase.ports.catalogue_store import CatalogueStore
from omakase.ports.clock import Clock
from omakase.ports.context_store import ContextStore
from omakase.ports.model_store import ModelStore
from omakase.premises import Premises
from omakase.serving.access import Gate
from omakase.serving.configuration import Configuration

PREFIX = "/admin/v1"

log = logging.getLogger("omakase.audit")
log.setLevel(logging.INFO)  # also where a service is told to log warnings only

T = TypeVar("T")
_MOST_IDS = 10


@dataclass(frozen=True, slots=True)
class Admin:
    """What the resources are made of. None: this deployment has not got it, and its routes answer 501.

    `check` refuses products that this deployment cannot serve.
    """

    gate: Gate
    configuration: Configuration
    keyring: Keyring
    clock: Clock
    catalogue: CatalogueStore
    models: ModelStore
    check: Callable[[Product], object]
    contexts: ContextStore | None = None
    premises: Premises | None = None
    max_line_bytes: int = 1_000_000
    # What blocks, blocks here, and no more of it at a time: what serves the shop has threads of its own.
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, thread_name_prefix="admin"))

    async def blocking(self, work: Callable[..., T], *arguments: object) -> T:
        """Do it in a thread; waits for one."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work, *arguments)


@dataclass(slots=True)
class Call:
    """A call that was let in, until its line is written.

    Guarantees: the line names the key and the request, and holds no body, nothing of a person, and no id that was not
    found or made here.
    """

    admin: Admin
    key: str
    method: str
    ids: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def note(self, *ids: str, **counts: int) -> None:
        """Name what was touched, or say how much."""
        self.ids += ids
        self.counts |= counts

    def close(self, path: str, status: int) -> None:
        """Write the line. `path` is the route's, without what stood in it."""
        line: dict[str, Any] = {"key": self.key, "method": self.method, "path": path}
        if self.ids:
            line["ids"] = self.ids[:_MOST_IDS]
        log.info("admin %s", json.dumps(line | self.counts | {"status": status}))


def call_of(request: Request) -> Call:
    """The call that came through the door; a route that anything else reaches fails."""
    call: Call = request.scope[Call.__name__]
    return call


Calling: TypeAlias = Annotated[Call, Depends(call_of)]
