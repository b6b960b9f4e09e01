"""Buckets: created as declared, changed where they can be, and told apart from another project's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omakase.adapters.gcp.storage.objects import new_client
from omakase.cloud.buckets import Bucket, buckets_of
from omakase.core.errors import InvalidInput, Unavailable
from tests.counterparts import GCS, cloud
from tests.counterparts.http_faults import Fault, HttpFaults

AS_DECLARED: dict[str, Any] = {
    "name": "shop",
    "location": "EUROPE-WEST6",
    "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "enforced"},
    "versioning": {"enabled": False},
    "softDeletePolicy": {"retentionDurationSeconds": "0"},
}


def bucket(name: str, *faults: Fault) -> tuple[Bucket, HttpFaults]:
    GCS.address()
    client = new_client(cloud.PROJECT)
    return Bucket(name, cloud.PROJECT, "europe-west6", client), HttpFaults(*faults).on(client)


def found(**changes: Any) -> Fault:
    """What Cloud Storage says of a bucket; the emulator says nothing of what it allows."""
    return Fault(status=200, method="GET", body=json.dumps({**AS_DECLARED, **changes}).encode())


def test_a_bucket_is_created_once() -> None:
    one, script = bucket(cloud.fresh_name())
    assert "create in EUROPE-WEST6" in (one.difference() or "")
    one.ensure()
    assert one.difference() is None
    script.seen.clear()
    one.ensure()
    assert [seen.partition(" ")[0] for seen in script.seen] == ["GET"]


def test_of_two_who_create_it_both_are_content() -> None:
    name = cloud.fresh_name()
    other, _ = bucket(name)
    one, script = bucket(name, Fault(method="POST", is_none=True, meanwhile=other.ensure))
    one.ensure()
    assert not script.left


def test_one_as_declared_is_left_alone() -> None:
    one, script = bucket("shop", found(), found())
    assert one.difference() is None
    one.ensure()
    assert not script.left


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"versioning": {"enabled": True}}, "keep no versions"),
        ({"softDeletePolicy": {"retentionDurationSeconds": "604800"}}, "end soft deletion"),
        (
            {"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 30}}]}},
            "end its lifecycle rules",
        ),
        ({"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}}, "prevent public access"),
        (
            {
                "iamConfiguration": {
                    "uniformBucketLevelAccess": {"enabled": False},
                    "publicAccessPrevention": "enforced",
                }
            },
            "grant access by role only",
        ),
    ],
)
def test_what_differs_is_told_and_changed(changes: dict[str, Any], told: str) -> None:
    one, script = bucket("shop", found(**changes), found(**changes), Fault(status=200, method="PATCH", body=b"{}"))
    assert one.difference() == told
    one.ensure()
    assert not script.left


def test_one_somewhere_else_or_of_somebody_else_is_refused() -> None:
    one, _ = bucket("shop", found(location="US"), found(location="US"))
    assert one.difference() == "is in US, not EUROPE-WEST6"
    with pytest.raises(InvalidInput, match="is in US"):
        one.ensure()
    taken = [Fault(status=404), Fault(status=409, method="POST"), Fault(status=403)]
    with pytest.raises(InvalidInput, match="another project's"):
        bucket("shop", *taken)[0].ensure()


def test_what_may_not_be_looked_at_says_which_roles_to_look_up() -> None:
    with pytest.raises(Unavailable, match=r"another project's.*docs/cloud\.md"):
        bucket("shop", Fault(status=403))[0].difference()


def test_one_bucket_is_declared_for_all_addresses_in_it() -> None:
    uris = ["gs://shop/models", "gs://shop/catalogue?announcements=p/t", "sqlite:/bus.db", "gs://other"]
    assert [one.name for one in buckets_of(uris, "p", "eu")] == ["bucket gs://shop", "bucket gs://other"]
    with pytest.raises(InvalidInput, match="gs://BUCKET/PREFIX"):
        buckets_of(["gs:shop"], "p", "eu")
