"""What is known of people, in SQLite."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from omakase.adapters.local.database import Database, Durability, durability_of
from omakase.adapters.local.facts import decode_facts, encode_facts
from omakase.adapters.uri import Uri
from omakase.core.features import MAX_RECENT
from omakase.core.ids import Pseudonym
from omakase.core.values import Facts
from omakase.ports.context_store import Click, Known

# The clicks of one person lie side by side and in order: a request reads them all.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS context (person TEXT NOT NULL PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS click (
    person TEXT NOT NULL,
    at REAL NOT NULL,
    request_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    item_id TEXT NOT NULL,
    PRIMARY KEY (person, at, request_id, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS click_by_age ON click (at);
"""
_FACTS = "SELECT facts FROM context WHERE person = ?"
_CLICKED = "SELECT item_id FROM click WHERE person = ? ORDER BY at, request_id, position"
_NOTE = """
INSERT INTO click (person, request_id, position, item_id, at) SELECT ?1, ?2, ?3, ?4, ?5
WHERE NOT EXISTS (SELECT 1 FROM click WHERE person = ?1 AND request_id = ?2 AND position = ?3)
"""
# Where there are no more than are kept, the inner row is NULL, which nothing is before.
_TRIM = """
DELETE FROM click WHERE person = ?1 AND (at, request_id, position) <= (
    SELECT at, request_id, position FROM click WHERE person = ?1
    ORDER BY at DESC, request_id DESC, position DESC LIMIT 1 OFFSET ?2
)
"""
_EXPIRE = """
DELETE FROM click WHERE (person, at, request_id, position) IN (
    SELECT person, at, request_id, position FROM click WHERE at < ? ORDER BY at LIMIT ?
)
"""
_EXPIRE_STEP = 10_000


class SqliteContextStore:
    """ContextStore."""

    def __init__(self, path: Path, durability: Durability = "os") -> None:
        self._database = Database(path, _SCHEMA, durability)

    @classmethod
    def from_uri(cls, uri: Uri) -> SqliteContextStore:
        return cls(uri.path("durability"), durability_of(uri))

    def find(self, people: Collection[Pseudonym], within_s: float | None = None) -> Mapping[Pseudonym, Known]:
        """See ContextStore: always the newest. Cost: some ten microseconds a person; never waits for a writer."""
        found = {}
        with self._database.read() as connection:
            for person in people:
                row = connection.execute(_FACTS, (person,)).fetchone()
                clicked = tuple(item_id for (item_id,) in connection.execute(_CLICKED, (person,)))
                if row is not None or clicked:
                    found[person] = Known({} if row is None else decode_facts(row[0]), clicked)
        return found

    def at_hand(self, people: Collection[Pseudonym]) -> Mapping[Pseudonym, Known]:
        """See ContextStore: everything is."""
        return self.find(people)

    def put(self, contexts: Iterable[tuple[Pseudonym, Facts]]) -> int:
        """See ContextStore, and all or none. A person named twice counts once and keeps the last facts."""
        # Encoded before the transaction starts: a faulty source must not hold the lock, nor leave half of itself.
        encoded = {person: encode_facts(facts) for person, facts in contexts}
        with self._database.write() as connection:
            connection.executemany("INSERT OR REPLACE INTO context VALUES (?, ?)", encoded.items())
        return len(encoded)

    def note(self, clicks: Sequence[Click]) -> None:
        """See ContextStore, and all or none. Cost: one transaction, tens of microseconds a click."""
        with self._database.write() as connection:
            connection.executemany(_NOTE, clicks)
            connection.executemany(_TRIM, {(click.person, MAX_RECENT) for click in clicks})

    def expire(self, before: float) -> int:
        """See ContextStore. Cost: one short transaction."""
        with self._database.write() as connection:
            return connection.execute(_EXPIRE, (before, _EXPIRE_STEP)).rowcount

    def forget(self, person: Pseudonym) -> None:
        """See ContextStore."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM context WHERE person = ?", (person,))
            connection.execute("DELETE FROM click WHERE person = ?", (person,))
        self._database.wipe()
