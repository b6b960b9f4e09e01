"""All that a deployment needs of Google Cloud, in the order in which it is made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.uri import Uri
from omakase.cloud.access import Access, Governed, Grant, Target
from omakase.cloud.buckets import buckets_of
from omakase.cloud.databases import databases_of
from omakase.cloud.grants import FOLLOWING, LISTENER, LISTENING, WATERMARK, Places
from omakase.cloud.identities import CustomRole, ServiceAccount
from omakase.cloud.resource import Resource
from omakase.cloud.rest import Rest
from omakase.cloud.tables import tables_of
from omakase.cloud.topics import Topic, bus_resources
from omakase.core.errors import InvalidInput

STREAM = "omakase-dataflow"
EMULATORS = ("PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "DATASTORE_EMULATOR_HOST")


def emulated() -> list[str]:
    """The variables that say that an emulator stands for the project."""
    return [name for name in EMULATORS if os.environ.get(name)]


def project_of(addresses: Mapping[str, str]) -> str:
    """The one that addresses name. Raises: InvalidInput if they name none, or several."""
    uris = [Uri.parse(address) for address in addresses.values()]
    named = {uri.location.partition("/")[0] for uri in uris if uri.scheme in ("pubsub", "datastore", "bigquery")}
    if len(named) != 1:
        several = f"several: {', '.join(sorted(named))}" if named else "no project"
        raise InvalidInput(f"the addresses of `adapters:` name {several}; say which one with --project")
    return named.pop()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for. `staging` is where Dataflow keeps temporary files, or empty where it does not run.

    `namespace` is the cluster's; `location` of buckets and the database, which cannot be changed later.
    """

    addresses: Mapping[str, str]
    project: str
    location: str
    staging: str = ""
    namespace: str = "omakase"

    @property
    def places(self) -> Places:
        return Places.of(self.addresses, self.project, STREAM if self.staging else "", self.staging)

    def storage(self) -> Iterator[Resource]:
        """What keeps something. Raises: InvalidInput for an address."""
        places, uris = self.places, list(self.addresses.values())
        if places.topic:
            yield from bus_resources(places.topic, log=places.log, stream=places.stream)
        if places.announcements:
            yield Topic(places.announcements)
        yield from buckets_of([*uris, *([self.staging] if self.staging else [])], self.project, self.location)
        yield from tables_of(uris)

    def identities(self, rest: Rest) -> Iterator[Resource]:
        """The database, which no emulator makes, who there is, and what they may do.

        Raises: Unavailable if the project cannot be read.
        """
        places = self.places
        accounts = {
            name: ServiceAccount(rest, self.project, f"omakase-{name}", purpose)
            for name, purpose in places.workloads().items()
        }
        yield from databases_of(self.addresses.values(), rest, self.location)
        yield from accounts.values()
        if places.announcements:
            title = "Omakase: hear announcements"
            yield CustomRole(rest, places.announced_in, LISTENER, title, LISTENING)
        if places.stream:
            yield CustomRole(rest, places.read_in, WATERMARK, "Omakase: follow a subscription's time", FOLLOWING)
        granted: dict[Target, dict[Grant, None]] = {}
        for right in places.rights():
            member = f"serviceAccount:{accounts[right.workload].email}"
            granted.setdefault(right.target, {})[right.grant(member)] = None
        for role, target in places.dead_letters():
            granted.setdefault(target, {})[Grant(role, _agent(rest, places.read_in))] = None
        yield from (Access(rest, target, list(grants)) for target, grants in granted.items())
        yield from self._workload_identities(rest, accounts)

    def _workload_identities(self, rest: Rest, accounts: Mapping[str, ServiceAccount]) -> Iterator[Resource]:
        """Which account each of the cluster's is; Dataflow's runs outside of it."""
        for name, account in accounts.items():
            if name != "dataflow":
                of_cluster = f"serviceAccount:{self.project}.svc.id.goog[{self.namespace}/{name}]"
                path = f"projects/{self.project}/serviceAccounts/{account.email}"
                target = Governed(account.name, "iam", path)
                yield Access(rest, target, [Grant("roles/iam.workloadIdentityUser", of_cluster)])


def _agent(rest: Rest, project: str) -> str:
    """Whom Pub/Sub is in a project."""
    with cloud_errors(f"look for project {project}"):
        number = rest.call("GET", "projects", f"projects/{project}")["projectNumber"]
    return f"serviceAccount:service-{number}@gcp-sa-pubsub.iam.gserviceaccount.com"
