"""The identities of workloads and what they may do, against what Google's APIs are like."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from omakase.cloud.access import Access, Condition, Governed, Grant, SharedDataset
from omakase.cloud.databases import Database
from omakase.cloud.identities import CustomRole, ServiceAccount
from omakase.cloud.plan import Plan
from omakase.cloud.rest import Rest
from omakase.core.errors import InvalidInput, Unavailable
from tests.integration.google_access import NUMBER, Google, Refusal, serving

ADDRESSES = {
    "bus": "pubsub:shop/events?subscription=omakase-trainer&journal=/x/bus.db",
    "deliveries": "redis://10.0.0.3:6379/0",
    "contexts": "datastore:shop",
    "catalogue": "gs://shop-catalogue/v1?announcements=shop/catalogue",
    "models": "gs://shop-models",
    "warehouse": "bigquery:shop/omakase",
}
PLAN = Plan(ADDRESSES, "shop", "europe-west6", staging="gs://shop-dataflow/tmp")
TOPIC = Governed("topic projects/shop/topics/events", "pubsub", "projects/shop/topics/events")
BUCKET = Governed("bucket gs://b", "storage", "b/b")
PROJECT = Governed("project shop", "projects", "projects/shop")
PUBLISHER = Grant("roles/pubsub.publisher", "serviceAccount:omakase-tracking@shop.iam.gserviceaccount.com")


@pytest.fixture
def google() -> Google:
    return Google()


@pytest.fixture
def rest(google: Google) -> Iterator[Rest]:
    with serving(google) as rest:
        yield rest


def meddled(google: Google, thing: str) -> None:
    """Somebody else grants something, between our reading and our writing."""
    google.policies[thing] = {"bindings": [{"role": "roles/x", "members": ["user:eve"]}], "etag": "e-eve"}


def test_everything_is_made_and_made_again_there_is_nothing_to_do(google: Google, rest: Rest) -> None:
    first = list(PLAN.identities(rest))
    assert all(resource.difference() for resource in first)
    assert google.writes() == []
    for resource in first:
        resource.ensure()
    written = google.writes()
    assert [resource.name for resource in PLAN.identities(rest) if resource.difference() is not None] == []
    for resource in PLAN.identities(rest):
        resource.ensure()
    assert google.writes() == written
    assert sorted(google.accounts) == sorted(
        f"omakase-{name}@shop.iam.gserviceaccount.com"
        for name in ("gateway", "recommender", "tracking", "batch", "backoffice", "trainer", "dataflow")
    )
    assert list(google.databases) == ["projects/shop/databases/(default)"]


def test_each_workload_may_do_what_it_needs_and_nothing_else(google: Google, rest: Rest) -> None:
    for resource in PLAN.identities(rest):
        resource.ensure()
    found: dict[str, set[str]] = {}
    for thing, role, member, condition in google.grants():
        account = member.removeprefix("serviceAccount:").removeprefix("omakase-").partition("@")[0]
        under = f", {condition}" if condition else ""
        found.setdefault(account, set()).add(f"{role} on {thing}{under}")
    history = {
        "roles/bigquery.jobUser on projects/projects/shop",
        "WRITER on projects/shop/datasets/omakase",
        "WRITER on projects/shop/datasets/omakase_staging",
        "roles/storage.objectUser on storage/b/shop-models",
    }
    heard = {
        "projects/shop/roles/omakaseListener on projects/projects/shop",
        "roles/pubsub.subscriber on pubsub/projects/shop/topics/catalogue",
    }
    topics, subscriptions = "pubsub/projects/shop/topics", "pubsub/projects/shop/subscriptions"
    assert found["gateway"] == heard | {
        "roles/datastore.user on projects/projects/shop, this database",
        "roles/storage.objectUser on storage/b/shop-catalogue, under v1/",
        "roles/storage.objectUser on storage/b/shop-models",
        f"roles/pubsub.publisher on {topics}/catalogue",
    }
    assert found["recommender"] == heard | {
        "roles/datastore.viewer on projects/projects/shop, this database",
        "roles/storage.objectViewer on storage/b/shop-catalogue, under v1/",
        "roles/storage.objectViewer on storage/b/shop-models",
    }
    assert found["tracking"] == {
        "roles/datastore.user on projects/projects/shop, this database",
        f"roles/pubsub.publisher on {topics}/events",
    }
    assert found["batch"] == history
    assert found["backoffice"] == {
        "roles/datastore.user on projects/projects/shop, this database",
        f"roles/pubsub.publisher on {topics}/events",
        "roles/bigquery.jobUser on projects/projects/shop",
        "WRITER on projects/shop/datasets/omakase",
    }
    assert found["trainer"] == history | {f"roles/pubsub.subscriber on {subscriptions}/omakase-trainer"}
    assert found["dataflow"] == history | {
        "roles/dataflow.worker on projects/projects/shop",
        "projects/shop/roles/omakaseWatermark on projects/projects/shop",
        "roles/storage.objectUser on storage/b/shop-dataflow, under tmp/",
        f"roles/pubsub.subscriber on {subscriptions}/omakase-dataflow",
        f"roles/pubsub.viewer on {subscriptions}/omakase-dataflow",
        f"roles/pubsub.subscriber on {topics}/events",
        f"roles/pubsub.viewer on {topics}/events",
        f"roles/pubsub.publisher on {topics}/events-dead-letters",
    }
    assert found[f"service-{NUMBER}"] == {
        f"roles/pubsub.publisher on {topics}/events-dead-letters",
        f"roles/pubsub.subscriber on {subscriptions}/omakase-trainer",
    }
    accounts = "iam/projects/shop/serviceAccounts"
    assert found["shop.svc.id.goog[omakase/gateway]"] == {
        f"roles/iam.workloadIdentityUser on {accounts}/omakase-gateway@shop.iam.gserviceaccount.com"
    }
    assert "shop.svc.id.goog[omakase/dataflow]" not in found


def test_a_condition_reaches_what_is_under_the_prefix_and_no_further(google: Google, rest: Rest) -> None:
    for resource in PLAN.identities(rest):
        resource.ensure()
    bindings = google.policies["storage/b/shop-catalogue"]["bindings"]
    assert {binding["condition"]["expression"] for binding in bindings} == {
        'resource.type == "storage.googleapis.com/Bucket" || '
        'resource.name.startsWith("projects/_/buckets/shop-catalogue/objects/v1/")'
    }


def test_without_a_reader_it_has_no_identity(rest: Rest) -> None:
    plan = Plan({"bus": "pubsub:shop/events"}, "shop", "europe-west6")
    names = {resource.name.partition(" ")[2] for resource in plan.identities(rest)}
    assert not any("trainer" in name or "dataflow" in name for name in names)


@pytest.mark.parametrize(
    "target",
    [TOPIC, Governed("bucket gs://b", "storage", "b/b"), Governed("project shop", "projects", "projects/shop")],
)
def test_what_somebody_else_granted_meanwhile_stays(google: Google, rest: Rest, target: Governed) -> None:
    thing = f"{target.api}/{target.path}"
    google.meddling[thing] = lambda: meddled(google, thing)
    access = Access(rest, target, [PUBLISHER])
    access.ensure()
    held = {(role, member) for _, role, member, _ in google.grants()}
    assert held == {("roles/x", "user:eve"), (PUBLISHER.role, PUBLISHER.member)}
    assert access.difference() is None


def test_with_whom_else_a_dataset_is_shared_stays(google: Google, rest: Rest) -> None:
    path = "projects/shop/datasets/omakase"
    eve = {"role": "READER", "userByEmail": "eve@example.com"}

    def meddle() -> None:
        google.datasets[path] = {"access": [*google.datasets[path]["access"], eve], "etag": "e-eve"}

    google.meddling[path] = meddle
    access = Access(rest, SharedDataset("shop", "omakase"), [PUBLISHER._replace(role="roles/bigquery.dataEditor")])
    assert access.difference() is not None
    google.meddling[path] = meddle
    access.ensure()
    assert eve in google.datasets[path]["access"]
    assert {"role": "OWNER", "specialGroup": "x"} in google.datasets[path]["access"]
    assert access.difference() is None


def test_an_account_that_is_not_known_everywhere_yet_is_waited_for(google: Google, rest: Rest) -> None:
    google.unknown_for = 2
    Access(rest, TOPIC, [PUBLISHER]).ensure()
    assert len(google.grants()) == 1


def test_the_same_role_under_another_condition_is_another_grant(google: Google, rest: Rest) -> None:
    plain, narrow = PUBLISHER, PUBLISHER._replace(condition=Condition("here", "resource.name == 'x'"))
    Access(rest, TOPIC, [plain]).ensure()
    access = Access(rest, TOPIC, [narrow])
    assert "here" in (access.difference() or "")
    access.ensure()
    assert {condition for *_, condition in google.grants()} == {"", "here"}


def test_what_may_not_be_done_is_named_with_what_it_was(google: Google, rest: Rest) -> None:
    google.refusals[f"{TOPIC.path}:getIamPolicy"] = Refusal(403, "you are not its owner")
    access = Access(rest, TOPIC, [PUBLISHER])
    with pytest.raises(Unavailable, match=r"access to topic projects/shop/topics/events: .*not its owner"):
        access.ensure()


def test_a_role_gets_the_permissions_that_it_lacks(google: Google, rest: Rest) -> None:
    CustomRole(rest, "shop", "hears", "Hears", ["a.b.create"]).ensure()
    more = CustomRole(rest, "shop", "hears", "Hears", ["a.b.create", "a.b.delete"])
    assert more.difference() == "add a.b.delete"
    more.ensure()
    assert more.difference() is None
    google.roles["projects/shop/roles/hears"]["deleted"] = True
    with pytest.raises(InvalidInput, match="undelete hears"):
        more.difference()


def test_an_account_that_was_disabled_is_not_used(google: Google, rest: Rest) -> None:
    account = ServiceAccount(rest, "shop", "omakase-batch", "counts")
    account.ensure()
    google.accounts[account.email]["disabled"] = True
    with pytest.raises(InvalidInput, match="service-accounts enable"):
        account.difference()


def test_a_database_of_the_other_mode_is_not_used(google: Google, rest: Rest) -> None:
    database = Database(rest, "shop", "people", "europe-west6")
    google.databases[database.path] = {"type": "FIRESTORE_NATIVE"}
    with pytest.raises(InvalidInput, match="not in Datastore mode"):
        database.ensure()
