"""Who was forgotten, in the same SQLite file as the delivery records."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from omakase.adapters.local import delivery_store
from omakase.adapters.local.database import Database, Durability, durability_of
from omakase.adapters.local.rewriting import rewrite_bodies
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput
from omakase.core.ids import Pseudonym

# A pseudonym is 128 bits that need a key to be guessed: its hash gives it away to nobody who does not have it already.
_SCHEMA = "CREATE TABLE IF NOT EXISTS forgotten (person BLOB PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;"
_NOTE = "INSERT INTO forgotten VALUES (?, ?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)"


class SqliteForgotten:
    """Forgotten."""

    def __init__(self, path: Path, durability: Durability = "os") -> None:
        self._database = Database(path, delivery_store.SCHEMA + _SCHEMA, durability)

    @classmethod
    def from_uri(cls, uri: Uri) -> SqliteForgotten:
        return cls(uri.path("durability"), durability_of(uri))

    def forget(self, people: Collection[Pseudonym], at: float) -> None:
        """See Forgotten. Raises: InvalidInput for an empty pseudonym, which is everybody who is not known."""
        if not all(people):
            raise InvalidInput("a pseudonym to forget must not be empty")
        with self._database.write() as connection:
            connection.executemany(_NOTE, [(_hash(person), at) for person in people])

    def find(self, people: Iterable[Pseudonym]) -> Mapping[Pseudonym, float]:
        """See Forgotten. Cost: a few microseconds each, one look-up where nobody was ever forgotten."""
        found: dict[Pseudonym, float] = {}
        with self._database.read() as connection:
            if connection.execute("SELECT 1 FROM forgotten LIMIT 1").fetchone() is None:
                return found
            for person in set(people):
                row = connection.execute("SELECT at FROM forgotten WHERE person = ?", (_hash(person),)).fetchone()
                if row is not None:
                    found[person] = row[0]
        return found

    def since(self, at: float) -> Mapping[str, float]:
        """See Forgotten."""
        with self._database.read() as connection:
            return dict(connection.execute("SELECT lower(hex(person)), at FROM forgotten WHERE at >= ?", (at,)))

    def rewrite(self, mentioning: Sequence[bytes], change: Callable[[bytes], bytes]) -> int:
        """See Forgotten."""
        return rewrite_bodies(self._database, "slate", "rowid", mentioning, change)


def _hash(person: Pseudonym) -> bytes:
    return sha256(person.encode()).digest()
