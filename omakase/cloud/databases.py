"""The database of people's contexts."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from google.api_core.exceptions import Conflict, NotFound

from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.uri import Uri
from omakase.cloud.rest import Rest
from omakase.core.errors import InvalidInput

DEFAULT = "(default)"

_KIND = "DATASTORE_MODE"


def databases_of(uris: Iterable[str], rest: Rest, location: str) -> list[Database]:
    """One for each database that an address of `datastore:` names."""
    places = [Uri.parse(uri).location.partition("/") for uri in uris if uri.startswith("datastore:")]
    return [Database(rest, project, name or DEFAULT, location) for project, _, name in dict.fromkeys(places)]


@dataclass(frozen=True, slots=True)
class Database:
    """Resource: Firestore in Datastore mode, which nobody deletes by a slip. It needs no indexes but those built in."""

    rest: Rest
    project: str
    database: str
    location: str

    @property
    def name(self) -> str:
        return f"database {self.path}"

    @property
    def path(self) -> str:
        return f"projects/{self.project}/databases/{self.database}"

    def difference(self) -> str | None:
        """See Resource. Cost: one request. Raises: InvalidInput if it is of the other mode."""
        with cloud_errors(f"look for the {self.name}"):
            try:
                found = self.rest.call("GET", "firestore", self.path)
            except NotFound:
                return f"create in {self.location}, in Datastore mode"
        if found["type"] != _KIND:
            raise InvalidInput(f"the {self.name} is not in Datastore mode: name another, datastore:PROJECT/NAME")
        return None

    def ensure(self) -> None:
        """See Resource. It can be used a minute or so later."""
        if self.difference() is None:
            return
        wanted = {
            "type": _KIND,
            "locationId": self.location,
            # Two that change one person's clicks: one is told to try again, and none waits for a lock.
            "concurrencyMode": "OPTIMISTIC",
            "deleteProtectionState": "DELETE_PROTECTION_ENABLED",
        }
        with cloud_errors(f"create the {self.name}"), suppress(Conflict):
            databases = f"projects/{self.project}/databases"
            self.rest.call("POST", "firestore", databases, wanted, parameters={"databaseId": self.database})
