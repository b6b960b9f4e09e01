"""Who may do what with one thing of a project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

from google.api_core.exceptions import BadRequest, Conflict, NotFound, PreconditionFailed
from google.api_core.retry import Retry

from omakase.adapters.gcp.errors import cloud_errors
from omakase.cloud.rest import Rest

Policy: TypeAlias = Mapping[str, Any]

_PATIENCE_S = 60.0  # until an account that was just made is known everywhere
_ETAG, _VERSION = "etag", 3

# BigQuery answers with the older names of its roles.
_OLDER = {"READER": "roles/bigquery.dataViewer", "WRITER": "roles/bigquery.dataEditor"}


class Condition(NamedTuple):
    """In the language of IAM conditions."""

    title: str
    expression: str


class Grant(NamedTuple):
    """A role for `member`, such as `serviceAccount:…`."""

    role: str
    member: str
    condition: Condition | None = None


class Target(Protocol):
    """Something that roles are granted on."""

    @property
    def name(self) -> str:
        """Kind and place."""

    def read(self, rest: Rest) -> Policy:
        """Who may do what, as it is."""

    def missing(self, policy: Policy, grants: Iterable[Grant]) -> list[Grant]:
        """Those that it does not hold."""

    def add(self, rest: Rest, policy: Policy, grants: Iterable[Grant]) -> None:
        """Write it with these, if it is still what was read. Raises: Conflict or PreconditionFailed if not."""


@dataclass(frozen=True, slots=True)
class Governed:
    """Target: what has a policy of its own. `api` is one of `ENDPOINTS`, `path` the thing's there."""

    name: str
    api: str
    path: str

    def read(self, rest: Rest) -> Policy:
        """See Target."""
        if self.api == "storage":
            return rest.call("GET", "storage", f"{self.path}/iam", parameters={"optionsRequestedPolicyVersion": "3"})
        if self.api == "projects":
            body = {"options": {"requestedPolicyVersion": _VERSION}}
            return rest.call("POST", "projects", f"{self.path}:getIamPolicy", body)
        method = "GET" if self.api == "pubsub" else "POST"
        parameters = {"options.requestedPolicyVersion": "3"}
        return rest.call(method, self.api, f"{self.path}:getIamPolicy", parameters=parameters)

    def missing(self, policy: Policy, grants: Iterable[Grant]) -> list[Grant]:
        """See Target."""
        held = {
            (binding["role"], member, binding.get("condition", {}).get("expression"))
            for binding in policy.get("bindings", [])
            for member in binding.get("members", [])
        }
        return [grant for grant in grants if (grant.role, grant.member, _expression(grant)) not in held]

    def add(self, rest: Rest, policy: Policy, grants: Iterable[Grant]) -> None:
        """See Target."""
        bindings = [*policy.get("bindings", []), *map(_binding, grants)]
        written = {**policy, "bindings": bindings, "version": _VERSION}
        if self.api == "storage":
            rest.call("PUT", "storage", f"{self.path}/iam", written)
        else:
            rest.call("POST", self.api, f"{self.path}:setIamPolicy", {"policy": written})


@dataclass(frozen=True, slots=True)
class SharedDataset:
    """Target: a dataset of BigQuery, which lists whom it is shared with."""

    project: str
    dataset: str

    @property
    def name(self) -> str:
        return f"dataset {self.project}.{self.dataset}"

    def read(self, rest: Rest) -> Policy:
        """See Target."""
        return rest.call("GET", "bigquery", self._path, parameters={"fields": "access,etag"})

    def missing(self, policy: Policy, grants: Iterable[Grant]) -> list[Grant]:
        """See Target."""
        held = {
            (_OLDER.get(entry["role"], entry["role"]), entry["userByEmail"])
            for entry in policy.get("access", [])
            if "role" in entry and "userByEmail" in entry
        }
        return [grant for grant in grants if (grant.role, _email(grant)) not in held]

    def add(self, rest: Rest, policy: Policy, grants: Iterable[Grant]) -> None:
        """See Target."""
        more = [{"role": grant.role, "userByEmail": _email(grant)} for grant in grants]
        access = [*policy.get("access", []), *more]
        rest.call("PATCH", "bigquery", self._path, {"access": access}, if_match=policy[_ETAG])

    @property
    def _path(self) -> str:
        return f"projects/{self.project}/datasets/{self.dataset}"


@dataclass(frozen=True, slots=True)
class Access:
    """Resource: roles on one thing. Adds what is missing and takes nothing away that somebody else may have granted."""

    rest: Rest
    target: Target
    grants: Sequence[Grant]

    @property
    def name(self) -> str:
        return f"access to {self.target.name}"

    def difference(self) -> str | None:
        """See Resource. Cost: one request."""
        with cloud_errors(f"read the {self.name}"):
            try:
                missing = self.target.missing(self.target.read(self.rest), self.grants)
            except NotFound:  # made before it, when it is not only looked at
                missing = list(self.grants)
        return "; ".join(f"grant {_shown(grant)}" for grant in missing) or None

    def ensure(self) -> None:
        """See Resource. Cost: two requests; they are repeated where somebody else changed it between them."""
        again = Retry(predicate=self._may_pass, initial=0.2, maximum=10.0, multiplier=2.0, timeout=_PATIENCE_S)
        with cloud_errors(f"change the {self.name}"):
            again(self._add)()

    def _add(self) -> None:
        policy = self.target.read(self.rest)
        if missing := self.target.missing(policy, self.grants):
            self.target.add(self.rest, policy, missing)

    def _may_pass(self, error: BaseException) -> bool:
        if isinstance(error, BadRequest):  # so it is said that an account is not known here yet
            return "does not exist" in error.message
        return isinstance(error, Conflict | PreconditionFailed) or (
            isinstance(error, NotFound) and isinstance(self.target, Governed) and self.target.api == "iam"
        )


def _binding(grant: Grant) -> dict[str, Any]:
    binding: dict[str, Any] = {"role": grant.role, "members": [grant.member]}
    if grant.condition is not None:
        binding["condition"] = grant.condition._asdict()
    return binding


def _expression(grant: Grant) -> str | None:
    return None if grant.condition is None else grant.condition.expression


def _email(grant: Grant) -> str:
    return grant.member.partition(":")[2]


def _shown(grant: Grant) -> str:
    where = "" if grant.condition is None else f", {grant.condition.title}"
    return f"{grant.role} to {_email(grant)}{where}"
