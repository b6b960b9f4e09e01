"""From the bus into the warehouse."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omakase.core.errors import Corrupt, Unavailable
from omakase.ports.event_bus import EventLog
from omakase.ports.warehouse import Warehouse
from omakase.rows import rows_of

log = logging.getLogger(__name__)

CONSUMER = "warehouse"
_READ = 20_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """A number in a file. Guarantees: the old or the new one is there, whatever happens, power loss included."""

    path: Path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep others from moving it: a load by hand must not cross the scheduler's. Waits. Raises: Unavailable."""
        try:
            with self.path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise Unavailable(f"cannot hold {self.path}: {error}") from error

    def read(self) -> int:
        """0 before the first write. Raises: Corrupt; Unavailable."""
        try:
            text = self.path.read_text() if self.path.exists() else "0"
        except OSError as error:
            raise Unavailable(f"cannot read {self.path}: {error}") from error
        if not text.isdecimal():
            raise Corrupt(f"{self.path} holds {text[:40]!r}, not an offset: write the last one loaded into it")
        return int(text)

    def write(self, offset: int) -> None:
        """Raises: Unavailable."""
        fresh = self.path.with_suffix(".new")
        try:
            with fresh.open("w") as file:
                file.write(str(offset))
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self.path)
        except OSError as error:
            raise Unavailable(f"cannot write {self.path}: {error}") from error


@dataclass(frozen=True, slots=True)
class Loader:
    """Copies what the bus carries, each message once.

    A part is named by the first offset in it, so a load that is repeated after a crash, perhaps with more messages
    than before, replaces what it had written.
    """

    log: EventLog
    warehouse: Warehouse
    cursor: Cursor

    def load(self) -> int:
        """Copy everything that is there now. Returns how many messages. Raises: Unavailable; then call again."""
        total = 0
        with self.cursor.held():
            while loaded := self._load_some():
                total += loaded
        return total

    def _load_some(self) -> int:
        after = self.cursor.read()
        if after > self.log.last_offset():
            raise Corrupt(
                f"the bus was lost: it never had the {after} messages that were loaded. The new one starts at 1: "
                f"move the warehouse's `deliveries`, `propensities` and `events` aside, and write 0 into "
                f"{self.cursor.path}"
            )
        messages = self.log.read(after, _READ)
        if not messages:
            return 0
        tables, unreadable = rows_of(logged.message.body for logged in messages)
        for body, fault in unreadable:
            offset = next(logged.offset for logged in messages if logged.message.body == body)
            log.error("offset %d is not in the warehouse: %s", offset, fault)
        part = f"log-{messages[0].offset:016d}"
        for table, rows in tables.items():
            self.warehouse.append(table, part, rows)
        self.cursor.write(messages[-1].offset)
        self.log.acknowledge(CONSUMER, messages[-1].offset)
        return len(messages)
