"""Models in a bucket: what lies there, and what is thinned and swept of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from omakase.adapters import open_model_store
from omakase.adapters.gcp.storage import model_store, objects
from omakase.adapters.gcp.storage.model_store import GcsModelStore
from omakase.adapters.gcp.storage.objects import Objects, new_client, place_of
from omakase.adapters.uri import Uri
from omakase.core.errors import Corrupt, InvalidInput
from omakase.ports.model_store import ABSENT, ModelKey
from tests.counterparts import cloud
from tests.counterparts.http_faults import HttpFaults

KEY = ModelKey("home-top/linear")
OTHER = ModelKey("home-end/linear")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return cloud.models(tmp_path)


def objects_of(uri: str) -> Objects:
    client = new_client()
    return Objects(client, *place_of(Uri.parse(uri)))


def test_to_poll_costs_one_request_also_while_there_is_nothing(uri: str) -> None:
    client = new_client()
    seen = HttpFaults().on(client).seen
    store = GcsModelStore(Objects(client, *place_of(Uri.parse(uri))))
    assert store.generation(KEY) == ABSENT  # and looks whether there is a bucket
    store.publish(OTHER, b"one", if_generation=ABSENT)
    seen.clear()
    for _ in range(5):
        assert (store.generation(KEY), store.generation(OTHER)) == (ABSENT, 1)
    assert len(seen) == 10


def test_thinned_snapshots_leave_the_bucket(uri: str) -> None:
    store, generation = open_model_store(uri), ABSENT
    for n in range(23):
        generation = store.publish(KEY, b"%d" % n, if_generation=generation)
    kept = [name.rpartition("/")[2].partition("-")[0] for name in objects_of(uri).names("snapshots/")]
    # All of one hour, or of two if the test meets the turn of it.
    assert sorted(map(int, kept), reverse=True) == store.history(KEY)
    assert len(kept) in (20, 21)


def test_what_killed_writers_left_is_swept_and_nothing_else(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_store, "_SWEEP_EVERY", 1)
    store, bucket = open_model_store(uri), objects_of(uri)
    folder = "snapshots/home-top%2Flinear/"
    bucket.create(f"{folder}1-dead", b"left")
    store.publish(KEY, b"one", if_generation=ABSENT)
    assert len(bucket.names(folder)) == 2  # whoever writes it may live yet
    monkeypatch.setattr(objects, "_ORPHANED", objects._ORPHANED * 0)
    store.publish(KEY, b"two", if_generation=1)
    assert [store.read(KEY, generation) for generation in store.history(KEY)] == [b"two", b"one"]
    assert f"{folder}1-dead" not in bucket.names(folder)


def test_a_pointer_that_nobody_of_us_wrote_is_corrupt(uri: str) -> None:
    store, bucket = open_model_store(uri), objects_of(uri)
    bucket.create("pointers/home-top%2Flinear", b"{}")
    for read in (store.generation, store.latest, store.history):
        with pytest.raises(Corrupt):
            read(KEY)


@pytest.mark.parametrize("key", ["", "x" * 401, "/" * 134, "\ud800"])
def test_refuses_keys_that_no_object_can_be_named_after(uri: str, key: str) -> None:
    with pytest.raises(InvalidInput, match="model key"):
        open_model_store(uri).publish(ModelKey(key), b"snapshot", if_generation=ABSENT)


@pytest.mark.parametrize("uri", ["gs:bucket/x", "gs://", "gs:///x", "gs://Bucket/x", "gs://bucket/x?poll=1"])
def test_an_address_that_is_none_says_how_to_write_it(uri: str) -> None:
    with pytest.raises(InvalidInput, match=r"gs:"):
        open_model_store(uri)
