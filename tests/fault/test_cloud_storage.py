"""Cloud Storage goes wrong, at the client's transport: retried or surfaced, nothing lost and nothing done twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from omakase.adapters.gcp.pubsub.announcements import Announcements
from omakase.adapters.gcp.storage.catalogue_news import UNANNOUNCED
from omakase.adapters.gcp.storage.catalogue_store import GcsCatalogueStore
from omakase.adapters.gcp.storage.model_store import GcsModelStore
from omakase.adapters.gcp.storage.objects import RETRY, Objects, new_client, place_of
from omakase.adapters.uri import Uri
from omakase.core.catalogue import Item
from omakase.core.errors import Conflict, Corrupt, Unavailable
from omakase.ports.model_store import ABSENT, ModelKey
from tests.counterparts import PUBSUB, cloud
from tests.counterparts.http_faults import Fault, HttpFaults

KEY = ModelKey("home-top/linear")
SNAPSHOT = bytes(range(256)) * 100
QUICK = RETRY.with_delay(initial=0.001, maximum=0.01).with_timeout(0.3)
FOR_EVER = 10_000

Broken: TypeAlias = Callable[..., Fault]
REFUSED: dict[str, Broken] = {
    "429": partial(Fault, status=429),
    "503": partial(Fault, status=503),
    "reset": Fault,
    "deadline": partial(Fault, is_late=True),
}
LOST: dict[str, Broken] = {
    "503": partial(Fault, status=503, is_done=True),
    "reset": partial(Fault, is_done=True),
    "deadline": partial(Fault, is_late=True, is_done=True),
}
refused = pytest.mark.parametrize("broken", REFUSED.values(), ids=REFUSED.keys())
lost = pytest.mark.parametrize("broken", LOST.values(), ids=LOST.keys())


@dataclass(frozen=True, slots=True)
class Bucket:
    """One prefix of the bucket, opened as often as a test likes, each time behind faults of its own."""

    uri: str

    def objects(self, *faults: Fault) -> tuple[Objects, HttpFaults]:
        client = new_client()
        script = HttpFaults(*faults).on(client)
        return Objects(client, *place_of(Uri.parse(self.uri)), QUICK), script

    def models(self, *faults: Fault) -> tuple[GcsModelStore, HttpFaults]:
        objects, script = self.objects(*faults)
        return GcsModelStore(objects), script

    def catalogue(self, *faults: Fault, **options: Any) -> tuple[GcsCatalogueStore, HttpFaults]:
        objects, script = self.objects(*faults)
        return GcsCatalogueStore(objects, **options), script

    def names(self, prefix: str) -> list[str]:
        return self.objects()[0].names(prefix)


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(cloud.models(tmp_path))


@pytest.mark.parametrize("about", ["pointers/", "snapshots/"])
@refused
def test_a_publication_that_is_refused_for_a_moment_is_tried_again(bucket: Bucket, broken: Broken, about: str) -> None:
    store, script = bucket.models(broken(method="POST", about=about), broken(method="GET", about="pointers/"))
    assert store.publish(KEY, SNAPSHOT, if_generation=ABSENT) == 1
    assert not script.left
    assert store.latest(KEY) == (SNAPSHOT, 1)
    assert len(bucket.names("snapshots/")) == 1


@pytest.mark.parametrize("about", ["pointers/", "snapshots/"])
@lost
def test_a_publication_whose_answer_is_lost_is_published_once(bucket: Bucket, broken: Broken, about: str) -> None:
    store, script = bucket.models(broken(method="POST", about=about))
    first = store.publish(KEY, b"first", if_generation=ABSENT)
    script.left = [broken(method="POST", about=about)]
    second = store.publish(KEY, SNAPSHOT, if_generation=first)
    assert not script.left
    assert store.latest(KEY) == (SNAPSHOT, second)
    assert store.history(KEY) == [second, first] == [2, 1]
    assert len(bucket.names("snapshots/")) == 2


@lost
def test_a_snapshot_that_goes_in_pieces_is_there_though_the_last_answer_is_lost(bucket: Bucket, broken: Broken) -> None:
    store, script = bucket.models(broken(method="PUT"))
    large = bytes(9_000_000)
    assert store.publish(KEY, large, if_generation=ABSENT) == 1
    assert not script.left
    assert store.latest(KEY) == (large, 1)
    assert len(bucket.names("snapshots/")) == 1


def test_a_publication_whose_answer_is_lost_is_known_though_another_followed_it(bucket: Bucket) -> None:
    other, _ = bucket.models()

    def follow() -> None:
        other.publish(KEY, b"theirs", if_generation=1)

    store, script = bucket.models(Fault(method="POST", about="pointers/", is_done=True, meanwhile=follow))
    assert store.publish(KEY, b"ours", if_generation=ABSENT) == 1
    assert not script.left
    assert store.latest(KEY) == (b"theirs", 2)
    assert store.read(KEY, 1) == b"ours"


def test_a_writer_that_is_overtaken_gets_a_conflict_and_leaves_nothing(bucket: Bucket) -> None:
    other, _ = bucket.models()

    def overtake() -> None:
        other.publish(KEY, b"theirs", if_generation=ABSENT)

    store, script = bucket.models(Fault(method="POST", about="pointers/", is_none=True, meanwhile=overtake))
    with pytest.raises(Conflict):
        store.publish(KEY, b"ours", if_generation=ABSENT)
    assert not script.left
    assert store.latest(KEY) == (b"theirs", 1)
    assert len(bucket.names("snapshots/")) == 1


def test_a_precondition_that_failed_is_a_conflict_and_the_next_try_publishes(bucket: Bucket) -> None:
    store, _ = bucket.models(Fault(status=412, method="POST", about="pointers/"))
    with pytest.raises(Conflict):
        store.publish(KEY, b"one", if_generation=ABSENT)
    assert (store.latest(KEY), bucket.names("snapshots/")) == (None, [])
    assert store.publish(KEY, b"one", if_generation=ABSENT) == 1


@refused
def test_what_stays_refused_is_surfaced_and_changes_nothing(bucket: Bucket, broken: Broken) -> None:
    store, script = bucket.models()
    store.publish(KEY, b"one", if_generation=ABSENT)
    script.left = [broken(method="POST", about="pointers/")] * FOR_EVER
    with pytest.raises(Unavailable):  # and no Conflict: the write may still arrive
        store.publish(KEY, b"two", if_generation=1)
    assert len(script.left) < FOR_EVER - 1
    script.left = []
    assert store.latest(KEY) == (b"one", 1)


def test_an_outcome_that_cannot_be_found_out_is_surfaced_and_read_later(bucket: Bucket) -> None:
    store, script = bucket.models(Fault(method="POST", about="pointers/", is_done=True))
    script.left += [Fault(status=503, method="POST", about="pointers/")] * FOR_EVER

    def cut_off() -> None:
        script.left += [Fault(status=503)] * FOR_EVER

    script.left[0] = replace(script.left[0], meanwhile=cut_off)
    with pytest.raises(Unavailable):
        store.publish(KEY, b"one", if_generation=ABSENT)
    script.left = []
    assert store.latest(KEY) == (b"one", 1)


@pytest.mark.parametrize("read", [GcsModelStore.generation, GcsModelStore.latest, GcsModelStore.history])
@refused
def test_a_reader_tries_again_and_says_at_last_that_it_cannot(
    bucket: Bucket, broken: Broken, read: Callable[[GcsModelStore, ModelKey], object]
) -> None:
    store, script = bucket.models()
    store.publish(KEY, SNAPSHOT, if_generation=ABSENT)
    expected = read(store, KEY)
    script.left = [broken(method="GET")] * 2
    assert read(store, KEY) == expected
    script.left = [broken(method="GET")] * FOR_EVER
    with pytest.raises(Unavailable):
        read(store, KEY)


def test_a_bucket_that_is_not_there_is_no_empty_bucket(bucket: Bucket) -> None:
    store, _ = replace(bucket, uri="gs://no-such-bucket/models").models()
    for read in (store.generation, store.latest, store.history):
        with pytest.raises(Unavailable, match="omakase cloud init"):
            read(KEY)


def test_a_download_that_breaks_off_is_taken_up_again(bucket: Bucket) -> None:
    store, script = bucket.models()
    store.publish(KEY, SNAPSHOT, if_generation=ABSENT)
    script.left = [Fault(method="GET", about="snapshots/", cut_at=10_000), Fault(about="snapshots/", cut_at=0)]
    assert store.latest(KEY) == (SNAPSHOT, 1)
    assert not script.left


@pytest.mark.parametrize("about", ["snapshots/", "pointers/"])
def test_bytes_that_are_not_those_written_are_never_given_out(bucket: Bucket, about: str) -> None:
    store, script = bucket.models()
    store.publish(KEY, SNAPSHOT, if_generation=ABSENT)
    script.left = [Fault(method="GET", about=about, is_garbled=True)]
    with pytest.raises(Corrupt):
        store.latest(KEY)
    assert store.latest(KEY) == (SNAPSHOT, 1)


def test_bytes_that_are_garbled_where_a_download_was_taken_up_are_never_given_out(bucket: Bucket) -> None:
    """There the client itself checks nothing."""
    store, script = bucket.models()
    store.publish(KEY, SNAPSHOT, if_generation=ABSENT)
    script.left = [Fault(about="snapshots/", cut_at=10_000), Fault(about="snapshots/", is_garbled=True)]
    with pytest.raises(Corrupt):
        store.latest(KEY)


@pytest.mark.parametrize("about", ["/manifest", "parts/"])
@refused
def test_a_change_that_is_refused_for_a_moment_is_tried_again(bucket: Bucket, broken: Broken, about: str) -> None:
    store, script = bucket.catalogue(broken(method="POST", about=about), broken(method="GET", about="/manifest"))
    assert store.put([Item("a"), Item("b")]) == 1
    assert not script.left
    assert list(store.load()) == [Item("a"), Item("b")]


@pytest.mark.parametrize("about", ["/manifest", "parts/"])
@lost
def test_a_change_whose_answer_is_lost_is_made_once(bucket: Bucket, broken: Broken, about: str) -> None:
    store, script = bucket.catalogue()
    store.put([Item("a", stock=0), Item("b")])
    for n, change in enumerate((store.update, store.update), start=1):
        script.left = [broken(method="POST", about=about)]
        assert change(["a"], lambda item: replace(item, stock=item.stock + 1)) == [Item("a", stock=n)]
        assert not script.left
    script.left = [broken(method="POST", about=about)]
    assert store.remove(["b"]) == 4
    assert list(store.load()) == [Item("a", stock=2)]
    assert len(bucket.names("parts/")) == 4


def test_a_change_that_is_overtaken_is_made_of_what_is_there_then(bucket: Bucket) -> None:
    other, _ = bucket.catalogue()
    other.put([Item("a", stock=0)])

    def overtake() -> None:
        other.update(["a"], lambda item: replace(item, stock=item.stock + 10))

    store, script = bucket.catalogue(Fault(method="POST", about="/manifest", is_none=True, meanwhile=overtake))
    assert store.update(["a"], lambda item: replace(item, stock=item.stock + 1)) == [Item("a", stock=11)]
    assert not script.left
    assert (list(other.load()), other.generation()) == ([Item("a", stock=11)], 3)
    assert len(bucket.names("parts/")) == 3


@refused
def test_a_change_that_stays_refused_is_surfaced_and_not_made(bucket: Bucket, broken: Broken) -> None:
    store, script = bucket.catalogue()
    store.put([Item("a")])
    for about in ("/manifest", "parts/"):
        script.left = [broken(method="POST", about=about)] * FOR_EVER
        with pytest.raises(Unavailable):
            store.put([Item("b")])
    script.left = []
    assert (list(store.load()), store.generation()) == ([Item("a")], 1)


@pytest.mark.parametrize("about", ["/manifest", "parts/"])
def test_a_catalogue_is_read_whole_or_not_at_all(bucket: Bucket, about: str) -> None:
    store, script = bucket.catalogue(part_bytes=2000)
    items = [Item(f"{n}", {"price": float(n)}) for n in range(200)]
    store.put(items)
    script.left = [Fault(method="GET", about=about, is_garbled=True)]
    with pytest.raises(Corrupt):
        store.load()
    script.left = [Fault(method="GET", about=about, cut_at=100)]
    assert list(store.load()) == items
    script.left = [Fault(status=503, method="GET", about=about)] * FOR_EVER
    with pytest.raises(Unavailable):
        store.load()


def test_a_change_that_cannot_be_announced_is_made_and_counted(bucket: Bucket) -> None:
    PUBSUB.address()
    reader, _ = bucket.catalogue()
    store, _ = bucket.catalogue(announcements=Announcements(f"{cloud.PROJECT}/{cloud.fresh_name()}"))
    before = UNANNOUNCED._value.get()
    assert [store.put([Item("a")]), store.put([Item("b")])] == [1, 2]
    assert (reader.generation(), list(reader.load())) == (2, [Item("a"), Item("b")])
    assert UNANNOUNCED._value.get() == before + 2
