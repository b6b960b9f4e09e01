"""The buckets of models, catalogue and configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.api_core.exceptions import Conflict, Forbidden
from google.cloud.storage import Bucket as GcsBucket
from google.cloud.storage import Client

from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.gcp.storage.objects import RETRY, new_client, place_of
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput

_PREVENTED = "enforced"
_ANSWER_S = (3.05, 20.0)


def buckets_of(uris: Iterable[str], project: str, location: str) -> list[Bucket]:
    """One for each bucket that an address of `gs:` names. Raises: InvalidInput."""
    parsed = [Uri.parse(uri) for uri in uris if uri.startswith("gs:")]
    names = dict.fromkeys(place_of(uri, *uri.options)[0] for uri in parsed)
    return [Bucket(name, project, location) for name in names]


class Bucket:
    """Resource. Closed to the public, access by role on the whole, nothing deleted by age and nothing kept twice.

    Every publication of a model drops a snapshot: kept versions and soft deletion would hold a week of them, at the
    price of storage. What a bucket needs to know of its objects, the pointers in it say.
    """

    def __init__(self, bucket: str, project: str, location: str, client: Client | None = None) -> None:
        self._name = bucket
        self._project = project
        self._location = location.upper()
        self._client = client

    @property
    def name(self) -> str:
        return f"bucket gs://{self._name}"

    def difference(self) -> str | None:
        """See Resource. Cost: one request."""
        found = self._found()
        if found is None:
            return f"create in {self._location}, closed to the public, without versions and soft deletion"
        return ", ".join(self._differences(found)) or None

    def ensure(self) -> None:
        """See Resource. Cost: one request, two where something is to be done."""
        found = self._found()
        if found is None and (found := self._created()) is None:
            return
        if _is_told(found) and found.location != self._location:
            raise InvalidInput(f"{self.name} is in {found.location}, not {self._location}: take another name")
        if self._differences(found):
            _declare(found)
            with cloud_errors(f"change {self.name}"):
                found.patch(timeout=_ANSWER_S, retry=RETRY)

    def _found(self) -> GcsBucket | None:
        with cloud_errors(f"look at {self.name}, which is yours or, since names are everybody's, another project's"):
            return self._opened().lookup_bucket(self._name, timeout=_ANSWER_S, retry=RETRY)

    def _created(self) -> GcsBucket | None:
        """None if it is as declared; else the one that somebody else has created meanwhile."""
        bucket = self._opened().bucket(self._name)
        _declare(bucket)
        with cloud_errors(f"create {self.name}"):
            try:
                self._opened().create_bucket(
                    bucket, project=self._project, location=self._location, timeout=_ANSWER_S, retry=RETRY
                )
                return None
            except Conflict:
                pass
            try:
                return self._opened().get_bucket(self._name, timeout=_ANSWER_S, retry=RETRY)
            except Forbidden as error:
                raise InvalidInput(f"{self.name} is another project's: bucket names are everybody's") from error

    def _differences(self, found: GcsBucket) -> Sequence[str]:
        if not _is_told(found):
            return ()
        access = found.iam_configuration
        told = {
            f"is in {found.location}, not {self._location}": found.location != self._location,
            "grant access by role only": not access.uniform_bucket_level_access_enabled,
            "prevent public access": access.public_access_prevention != _PREVENTED,
            "keep no versions": found.versioning_enabled,
            "end soft deletion": bool(found.soft_delete_policy.retention_duration_seconds),
            "end its lifecycle rules": bool(list(found.lifecycle_rules)),
        }
        return [difference for difference, is_so in told.items() if is_so]

    def _opened(self) -> Client:
        if self._client is None:
            with cloud_errors(f"use {self.name}"):
                self._client = new_client(self._project)
        return self._client


def _is_told(found: GcsBucket) -> bool:
    """Whether the server says what a bucket allows; emulators do not, and keep nothing of it."""
    return "iamConfiguration" in found._properties  # what the client shows has defaults


def _declare(bucket: GcsBucket) -> None:
    bucket.iam_configuration.uniform_bucket_level_access_enabled = True
    bucket.iam_configuration.public_access_prevention = _PREVENTED
    bucket.versioning_enabled = False
    bucket.soft_delete_policy.retention_duration_seconds = 0
    bucket.lifecycle_rules = []
