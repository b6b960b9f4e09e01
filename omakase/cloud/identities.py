"""The service accounts that workloads run as, and roles that Google has not got."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import Conflict, NotFound

from omakase.adapters.gcp.errors import cloud_errors
from omakase.cloud.rest import Rest
from omakase.core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Resource: an account without keys. `account` is the part of its address before the @, 6 to 30 characters."""

    rest: Rest
    project: str
    account: str
    purpose: str

    @property
    def name(self) -> str:
        return f"service-account {self.email}"

    @property
    def email(self) -> str:
        return f"{self.account}@{self.project}.iam.gserviceaccount.com"

    def difference(self) -> str | None:
        """See Resource. Cost: one request for each 100 accounts of the project. Raises: InvalidInput if disabled."""
        with cloud_errors(f"look for the {self.name}"):
            found = self._found()
        if found is None:
            return f"create, {self.purpose}"
        if found.get("disabled"):
            raise InvalidInput(f"the {self.name} is disabled: gcloud iam service-accounts enable {self.email}")
        return None

    def ensure(self) -> None:
        """See Resource."""
        if self.difference() is None:
            return
        body = {"accountId": self.account, "serviceAccount": {"displayName": f"Omakase: {self.purpose}"}}
        with cloud_errors(f"create the {self.name}"), suppress(Conflict):
            self.rest.call("POST", "iam", self._accounts, body)

    @property
    def _accounts(self) -> str:
        return f"projects/{self.project}/serviceAccounts"

    def _found(self) -> dict[str, Any] | None:
        # Listed: asked for one that is not there, the API may answer that it may not be seen.
        page = ""
        while True:
            listed = self.rest.call("GET", "iam", self._accounts, parameters={"pageSize": "100", "pageToken": page})
            for found in listed.get("accounts", []):
                if found["email"] == self.email:
                    return dict(found)
            page = listed.get("nextPageToken", "")
            if not page:
                return None


@dataclass(frozen=True, slots=True)
class CustomRole:
    """Resource: a role of a project, of permissions that no narrower role of Google's has."""

    rest: Rest
    project: str
    role: str
    title: str
    permissions: Sequence[str]

    @property
    def name(self) -> str:
        return f"role {self.path}"

    @property
    def path(self) -> str:
        """As grants name it."""
        return f"projects/{self.project}/roles/{self.role}"

    def difference(self) -> str | None:
        """See Resource. Cost: one request. Raises: InvalidInput if it was deleted, which it stays for a month."""
        with cloud_errors(f"look for the {self.name}"):
            try:
                found = self.rest.call("GET", "iam", self.path)
            except NotFound:
                return f"create, of {', '.join(self.permissions)}"
        if found.get("deleted"):
            raise InvalidInput(f"the {self.name} is deleted: gcloud iam roles undelete {self.role}")
        missing = sorted(set(self.permissions) - set(found.get("includedPermissions", [])))
        return f"add {', '.join(missing)}" if missing else None

    def ensure(self) -> None:
        """See Resource."""
        if self.difference() is None:
            return
        role = {"title": self.title, "includedPermissions": list(self.permissions), "stage": "GA"}
        with cloud_errors(f"make the {self.name}"):
            try:
                self.rest.call("POST", "iam", f"projects/{self.project}/roles", {"roleId": self.role, "role": role})
            except Conflict:
                self.rest.call("PATCH", "iam", self.path, role, parameters={"updateMask": "includedPermissions"})
