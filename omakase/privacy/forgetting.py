"""Forgetting a person: every place where something of them is kept, in the order of the data's way.

What moves on while it is forgotten is met again downstream: so each place comes after those that feed it, and those
that running services fill from memory come twice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from omakase import adapters
from omakase.adapters.local.files import disk_errors, locked
from omakase.adapters.local.spool_rewriting import Rewritten, rewrite_spool
from omakase.core.errors import Corrupt
from omakase.core.ids import Pseudonym
from omakase.deployment import Deployment
from omakase.privacy.anonymity import anonymous_message, anonymous_slate
from omakase.privacy.exclusions import exclusions
from omakase.serving.refused import Refused
from omakase.wire import decode_slate

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses of what services share. `directory` is where the rest is: spools, the bus as it is kept, dead letters.

    Without one the rest is elsewhere, and empties itself: a spool is shipped and its records blanked on the way, and
    what was on the bus when the person was forgotten reaches the warehouse later, where the job `forget` finds it.
    """

    contexts: str
    deliveries: str
    bus: str
    warehouse: str
    directory: Deployment | None = None

    @classmethod
    def of(cls, deployment: Deployment) -> Places:
        uris = deployment.uris
        return cls(uris.contexts, uris.deliveries, uris.bus, uris.warehouse, deployment)


class Forgetting:
    """Forgets people, while services run or not. Idempotent; repeat it after any failure."""

    def __init__(self, places: Places, people: Sequence[Pseudonym], now: float, patience_s: float = 10.0) -> None:
        self._places = places
        self._people = people
        self._now = now
        self._patience_s = patience_s
        self._bus = adapters.open_event_bus(places.bus)
        self._forgotten = adapters.open_forgotten(places.deliveries)
        self._reached: Counter[str] = Counter()

    def run(self) -> dict[str, int]:
        """Returns how much was reached, by place. Raises: Unavailable, also if records wait in a spool all the time."""
        directory = self._places.directory
        self._forgotten.forget(self._people, self._now)  # from here on tracking blanks what it takes
        self._of_stores()
        if directory is not None:
            self._reached["spool"] += self._spools(directory)
            self._of_bus(directory)
            letters = adapters.open_dead_letters(directory.uris.training)
            self._reached["dead letters"] += letters.rewrite(self._names, self._message)
            _wait_for_loader(directory)
        self._reached["warehouse"] += adapters.open_warehouse(self._places.warehouse).forget(self._people)
        # Until their records were blanked, tracking noted what they touched and clicked, and attributed their orders.
        self._of_stores()
        if directory is not None:
            self._of_bus(directory)
        return dict(self._reached)

    def _of_stores(self) -> None:
        self._reached["contexts"] += self._contexts()
        touches, orders = self._touches_and_orders()
        self._reached["touches"] += touches
        self._reached["orders"] += orders
        self._reached["deliveries"] += self._forgotten.rewrite(self._names, self._slate)

    def _of_bus(self, directory: Deployment) -> None:
        log = adapters.open_event_log(directory.uris.bus)
        self._reached["bus"] += log.rewrite(self._names, self._message)

    @property
    def _names(self) -> list[bytes]:
        return [person.encode() for person in self._people]

    def _contexts(self) -> int:
        contexts = adapters.open_context_store(self._places.contexts)
        known = len(contexts.find(self._people))
        for person in self._people:
            contexts.forget(person)
        return known

    def _touches_and_orders(self) -> tuple[int, int]:
        uri = self._places.deliveries
        touches, credits, orders = adapters.open_touches(uri), adapters.open_credits(uri), adapters.open_orders(uri)
        return touches.forget(self._people), credits.forget(self._people) + orders.forget(self._people)

    def _slate(self, body: bytes) -> bytes:
        """A slate's record that is nobody's. Its deliveries are excluded first: afterwards nobody could find them."""
        fresh = anonymous_slate(body, self._people)
        with suppress(Corrupt):  # a dead letter, or on its way to become one: not learnt from
            slate = decode_slate(body)
            if slate.unit in self._people or slate.user in self._people:
                self._bus.publish(exclusions(slate.request_id, fresh, self._now))
        return fresh

    def _message(self, body: bytes) -> bytes:
        return anonymous_message(body, self._people)

    def _spools(self, directory: Deployment) -> int:
        changed = 0
        for path in directory.refused():
            changed += Refused(path).rewrite(lambda body: anonymous_slate(body, self._people))
        for path in directory.damaged():
            changed += _overwrite(path, self._names)
        deadline = time.monotonic() + self._patience_s
        for spool in directory.spools():
            while (found := self._spool(spool)).waiting and time.monotonic() < deadline:
                changed += found.changed
                time.sleep(_POLL_S)
            changed += found.changed
            found.refuse_waiting(spool.name)
        return changed

    def _spool(self, spool: Path) -> Rewritten:
        return rewrite_spool(spool, self._names, self._slate)


def _wait_for_loader(directory: Deployment) -> None:
    """A load that has read the bus before it was rewritten must be in the warehouse before that is."""
    lock = directory.warehouse_cursor.with_suffix(".lock")
    with disk_errors("wait for the loader"):
        lock.parent.mkdir(exist_ok=True)
        with locked(lock):
            pass


def _overwrite(path: Path, names: Collection[bytes]) -> int:
    """The names in a file of any form, each by as many dashes. Returns how many there were."""
    with disk_errors(f"overwrite {path}"), path.open("r+b") as file:
        content = file.read()
        count = sum(content.count(name) for name in names)
        for name in names:
            content = content.replace(name, b"-" * len(name))
        if count:
            file.seek(0)
            file.write(content)
    return count
