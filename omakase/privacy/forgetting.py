"""Forgetting a person: every place where something of them is kept, in the order of the data's way.

What moves on while it is forgotten is met again downstream: so each place comes after those that feed it, and those
that running services fill from memory come twice.
"""

from __future__ import annotations

import time
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
from omakase.ports.event_bus import EventBus
from omakase.privacy.anonymity import anonymous_message, anonymous_slate
from omakase.privacy.exclusions import exclusions
from omakase.serving.refused import Refused
from omakase.wire import decode_slate

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Forgets people under one data directory, while services run or not. Idempotent; repeat it after any failure."""

    deployment: Deployment
    people: Sequence[Pseudonym]
    now: float
    patience_s: float = 10.0

    def run(self) -> dict[str, int]:
        """Returns how much was reached, by place. Raises: Unavailable, also if records wait in a spool all the time."""
        uris = self.deployment.uris
        forgotten = adapters.open_forgotten(uris.deliveries)
        bus, log = adapters.open_event_bus(uris.bus), adapters.open_event_log(uris.bus)
        letters, warehouse = adapters.open_dead_letters(uris.training), adapters.open_warehouse(uris.warehouse)
        forgotten.forget(self.people, self.now)  # from here on tracking blanks what it takes
        reached = {"contexts": self._contexts(), "spool": self._spools(bus)}
        reached["touches"], reached["orders"] = self._touches_and_orders()
        reached["deliveries"] = forgotten.rewrite(self._names, lambda body: self._slate(bus, body))
        reached["bus"] = log.rewrite(self._names, self._message)
        reached["dead letters"] = letters.rewrite(self._names, self._message)
        self._wait_for_loader()
        reached["warehouse"] = warehouse.forget(self.people)
        # Until their records were blanked, tracking noted what they touched and clicked, and attributed their orders.
        reached["contexts"] += self._contexts()
        touches, orders = self._touches_and_orders()
        reached["touches"] += touches
        reached["orders"] += orders
        reached["deliveries"] += forgotten.rewrite(self._names, lambda body: self._slate(bus, body))
        reached["bus"] += log.rewrite(self._names, self._message)
        return reached

    @property
    def _names(self) -> list[bytes]:
        return [person.encode() for person in self.people]

    def _contexts(self) -> int:
        contexts = adapters.open_context_store(self.deployment.uris.contexts)
        known = len(contexts.find(self.people))
        for person in self.people:
            contexts.forget(person)
        return known

    def _touches_and_orders(self) -> tuple[int, int]:
        uri = self.deployment.uris.deliveries
        touches, credits, orders = adapters.open_touches(uri), adapters.open_credits(uri), adapters.open_orders(uri)
        return touches.forget(self.people), credits.forget(self.people) + orders.forget(self.people)

    def _slate(self, bus: EventBus, body: bytes) -> bytes:
        """A slate's record that is nobody's. Its deliveries are excluded first: afterwards nobody could find them."""
        fresh = anonymous_slate(body, self.people)
        with suppress(Corrupt):  # a dead letter, or on its way to become one: not learnt from
            slate = decode_slate(body)
            if slate.unit in self.people or slate.user in self.people:
                bus.publish(exclusions(slate.request_id, fresh, self.now))
        return fresh

    def _message(self, body: bytes) -> bytes:
        return anonymous_message(body, self.people)

    def _spools(self, bus: EventBus) -> int:
        changed = 0
        for path in self.deployment.refused():
            changed += Refused(path).rewrite(lambda body: anonymous_slate(body, self.people))
        for path in self.deployment.damaged():
            changed += _overwrite(path, self._names)
        deadline = time.monotonic() + self.patience_s
        for directory in self.deployment.spools():
            while (found := self._spool(bus, directory)).waiting and time.monotonic() < deadline:
                changed += found.changed
                time.sleep(_POLL_S)
            changed += found.changed
            found.refuse_waiting(directory.name)
        return changed

    def _spool(self, bus: EventBus, directory: Path) -> Rewritten:
        return rewrite_spool(directory, self._names, lambda body: self._slate(bus, body))

    def _wait_for_loader(self) -> None:
        """A load that has read the bus before it was rewritten must be in the warehouse before that is."""
        lock = self.deployment.warehouse_cursor.with_suffix(".lock")
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
