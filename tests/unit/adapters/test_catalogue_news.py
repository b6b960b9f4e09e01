"""What a process knows of the newest generation of a catalogue: told, and found without being told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from omakase.adapters.gcp.pubsub.announcements import Announcements
from omakase.adapters.gcp.pubsub.clients import topic_path
from omakase.adapters.gcp.storage.catalogue_news import POLL_S, CatalogueNews
from omakase.cloud.topics import Topic
from omakase.core.errors import Unavailable
from tests.counterparts import PUBSUB, cloud
from tests.integration.stage import until

PLACE = "gs://shop/catalogue/"
News: TypeAlias = Callable[..., CatalogueNews]


class Bucket:
    """Says which generation it has, and counts how often it is asked; `now` is the time."""

    def __init__(self, generation: int = 1) -> None:
        self.generation, self.asked, self.now, self.is_away = generation, 0, 0.0, False

    def poll(self) -> int:
        self.asked += 1
        if self.is_away:
            raise Unavailable("the bucket is away")
        return self.generation


@pytest.fixture
def news() -> Iterator[News]:
    """All on one topic."""
    PUBSUB.address()
    topic = f"{cloud.PROJECT}/{cloud.fresh_name()}"
    Topic(topic_path(topic)).ensure()
    made: list[CatalogueNews] = []

    def make(bucket: Bucket, place: str = PLACE) -> CatalogueNews:
        made.append(CatalogueNews(place, bucket.poll, Announcements(topic), lambda: bucket.now))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_what_is_announced_is_known_while_the_bucket_is_not_asked(news: News) -> None:
    bucket = Bucket()
    reader, writer = news(bucket), news(Bucket())

    def is_told() -> bool:
        news(Bucket(), "gs://other/").tell(9)
        writer.tell(5)
        return reader.generation() == 5

    until(is_told, "the reader has heard")
    asked = bucket.asked
    assert [reader.generation() for _ in range(10)] == [5] * 10
    assert bucket.asked == asked <= 2  # at the start, and when it began to follow


def test_what_is_not_announced_is_found_within_a_second(news: News) -> None:
    bucket = Bucket()
    reader = news(bucket)
    assert reader.generation() == 1
    bucket.generation, bucket.now = 2, POLL_S
    assert reader.generation() == 2
    bucket.generation, bucket.now = 0, 2 * POLL_S  # it was emptied
    assert reader.generation() == 0


def test_a_bucket_that_is_away_is_not_passed_over_in_silence(news: News) -> None:
    bucket = Bucket()
    reader = news(bucket)
    assert reader.generation() == 1
    bucket.is_away, bucket.now = True, POLL_S
    for _ in range(2):
        with pytest.raises(Unavailable):
            reader.generation()


def test_what_was_written_or_loaded_here_is_known_here(news: News) -> None:
    bucket = Bucket()
    reader = news(bucket)
    assert reader.generation() == 1
    reader.tell(2)
    assert reader.generation() == 2
    reader.learn(4)
    reader.learn(3)
    assert (reader.generation(), bucket.asked) == (4, 1)
