"""Pub/Sub fails, repeats itself and loses answers: nothing is lost, nothing doubled, and what failed is said."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from google.pubsub_v1.types import PullResponse
from grpc import StatusCode

from omakase import adapters
from omakase.adapters.gcp.pubsub.announcements import Announcements
from omakase.adapters.gcp.pubsub.bus_messages import disclose
from omakase.adapters.gcp.pubsub.clients import publisher, subscriber, subscription_path, topic_path
from omakase.adapters.gcp.pubsub.event_bus import PubSubEventBus
from omakase.adapters.gcp.pubsub.subscription import Subscription
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput, Unavailable
from omakase.ports.event_bus import EventLog, Message
from tests.contract.conftest import spawn  # noqa: F401  a fixture
from tests.counterparts import PUBSUB, cloud
from tests.counterparts.grpc_faults import PASSED, SILENCE, Faults, after, before, changed, faulty
from tests.integration.stage import until

PASSING = [StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED, StatusCode.DEADLINE_EXCEEDED, StatusCode.ABORTED]

# The journal's owner is killed with what it has pulled in its hands: argv[3] says on which side of the commit.
DIE_KEEPING = """
import os, signal, sys
from pathlib import Path
from omakase.adapters.gcp.pubsub.event_log import PubSubEventLog
from omakase.adapters.local.event_log import SqliteEventLog

class Dying(SqliteEventLog):
    def publish(self, messages):
        if sys.argv[4] == "after the commit":
            super().publish(messages)
        os.kill(os.getpid(), signal.SIGKILL)

journal = Path(sys.argv[3])
PubSubEventLog(sys.argv[1], sys.argv[2], journal, Dying(journal)).read(0, 10)
"""


def message(n: int, body: bytes = b"body", units: int = 1) -> Message:
    return Message(n.to_bytes(16, "big"), 1_700_000_000.5 + n, body, units=units)


def keys(log: EventLog) -> list[int]:
    return [int.from_bytes(logged.message.key, "big") for logged in log.read(0, 10_000)]


@dataclass
class Place:
    """A topic, its subscription and a journal; and what happens on the way there."""

    uri: str
    faults: Faults
    ack_ids: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        parsed = Uri.parse(self.uri)
        self.topic = topic_path(parsed.location)
        self.subscription = subscription_path(self.topic, parsed.options["subscription"])
        self.journal = parsed.options["journal"]

    def log(self) -> Any:
        return adapters.open_event_log(self.uri)

    def bus(self, answer_s: float = 5.0, patience_s: float = 5.0) -> PubSubEventBus:
        return PubSubEventBus(self.topic, answer_s, patience_s)

    def seen(self, answer: bytes) -> bytes:
        """Remember what a pull was handed, for `redeliver`."""
        self.ack_ids += [received.ack_id for received in PullResponse.deserialize(answer).received_messages]
        return answer

    def redeliver(self) -> None:
        """As Pub/Sub does by itself once the acknowledgement deadline has passed."""
        request = {"subscription": self.subscription, "ack_ids": self.ack_ids, "ack_deadline_seconds": 0}
        with subscriber() as client:
            client.modify_ack_deadline(request=request)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    uri = cloud.pubsub(tmp_path)
    with faulty(PUBSUB.address()) as (address, faults):
        monkeypatch.setenv(PUBSUB.variable, address)
        yield Place(uri, faults)


@pytest.mark.parametrize("fault", [before, after])
@pytest.mark.parametrize("code", PASSING)
def test_a_publication_is_repeated_until_it_succeeds_and_is_read_once(place, code, fault):
    place.faults.on("Publish", [fault(code), fault(code)])
    place.bus().publish([message(n) for n in range(3)])
    log = place.log()
    assert keys(log) == [0, 1, 2]
    assert log.totals()["events"] == 3
    assert place.faults.calls["Publish"] == 3


def test_a_publication_that_nobody_answers_is_repeated(place):
    place.faults.on("Publish", [SILENCE])
    place.bus(answer_s=0.2).publish([message(1)])
    assert keys(place.log()) == [1]


def test_a_publication_that_keeps_failing_is_unavailable_and_can_be_repeated_whole(place):
    bus = place.bus(patience_s=0.4)
    place.faults.on("Publish", [PASSED, *repeat(before(StatusCode.UNAVAILABLE), 100)])
    with pytest.raises(Unavailable, match="a fault of the test's"):
        bus.publish([message(n) for n in range(2_500)])
    log = place.log()
    assert sorted(keys(log)) == list(range(1_000)), "a request's worth was published, then nothing"
    place.faults.on("Publish", [])
    bus.publish([message(n) for n in range(2_500)])
    assert sorted(keys(log)) == list(range(2_500))
    assert log.totals()["events"] == 2_500


def test_what_will_not_pass_is_said_at_once(place):
    place.faults.on("Publish", [before(StatusCode.PERMISSION_DENIED)])
    with pytest.raises(Unavailable, match="roles"):
        place.bus().publish([message(1)])
    assert place.faults.calls["Publish"] == 1


def test_a_message_that_pubsub_could_not_take_fails_its_call_before_anything_is_published(place):
    with pytest.raises(InvalidInput, match="at most 9000000 bytes"):
        place.bus().publish([message(1), message(2, bytes(9_000_001))])
    assert place.faults.calls["Publish"] == 0


def test_large_messages_go_in_as_many_requests_as_they_need(place):
    place.bus().publish([message(n, bytes(1_500_000)) for n in range(3)])
    assert place.faults.calls["Publish"] == 2
    assert keys(place.log()) == [0, 1, 2]


@pytest.mark.parametrize("code", PASSING)
def test_a_pull_that_fails_is_said_and_the_next_one_has_everything(place, code):
    log = place.log()
    log.publish([message(1), message(2)])
    place.faults.on("Pull", [before(code)])
    with pytest.raises(Unavailable, match="a fault of the test's"):
        log.read(0, 10)
    assert [logged.message for logged in log.read(0, 2)] == [message(1), message(2)]


def test_after_a_lost_answer_readers_wait_for_what_it_held(place):
    log = place.log()
    log.publish([message(1), message(2)])
    place.faults.on("Pull", [after(StatusCode.UNAVAILABLE, place.seen)])
    with pytest.raises(Unavailable):
        log.read(0, 10)
    asked = place.faults.calls["Pull"]
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(place.log().read, 0, 2)
        until(lambda: place.faults.calls["Pull"] > asked + 1, "it looks again though a pull found nothing")
        place.redeliver()
        assert [logged.message for logged in read.result(20)] == [message(1), message(2)]


@pytest.mark.parametrize("fault", [before, after])
def test_an_acknowledgement_that_fails_doubles_nothing(place, fault):
    log = place.log()
    log.publish([message(1), message(2)])
    place.faults.on("Pull", [changed(place.seen)])
    place.faults.on("Acknowledge", [fault(StatusCode.UNAVAILABLE)])
    assert keys(log) == [1, 2]
    place.redeliver()
    assert log.totals()["events"] == log.last_offset() == 2
    assert keys(log) == [1, 2]


def test_a_pull_that_repeats_and_shuffles_is_kept_once_in_the_order_of_publication(place):
    def repeated_backwards(answer: bytes) -> bytes:
        received = list(PullResponse.deserialize(answer).received_messages)
        return PullResponse.serialize(PullResponse(received_messages=[*reversed(received), *received]))

    log = place.log()
    for n in range(5):
        log.publish([message(n, units=3)])
    place.faults.on("Pull", [changed(repeated_backwards)])
    assert keys(log) == [0, 1, 2, 3, 4]
    assert log.totals()["events"] == 15


def test_what_is_held_back_comes_later_and_once(place):
    def without_its_first_half(answer: bytes) -> bytes:
        received = list(PullResponse.deserialize(place.seen(answer)).received_messages)
        received.sort(key=lambda each: disclose(each.message).key)
        return PullResponse.serialize(PullResponse(received_messages=received[len(received) // 2 :]))

    log = place.log()
    log.publish([message(n) for n in range(6)])
    place.faults.on("Pull", [changed(without_its_first_half)])
    assert keys(log) == [3, 4, 5]
    place.redeliver()
    assert keys(log) == [3, 4, 5, 0, 1, 2]


def _killed(spawn, place: Place, side: str) -> None:  # noqa: F811
    place.faults.on("Pull", repeat(changed(place.seen)))
    child: subprocess.Popen[str] = spawn(DIE_KEEPING, place.topic, place.subscription, place.journal, side)
    assert child.wait(60) == -signal.SIGKILL
    assert place.ack_ids
    assert place.faults.calls["Acknowledge"] == 0


def test_killed_between_pull_and_commit_nothing_is_lost_and_readers_wait_for_it(place, spawn):  # noqa: F811
    place.bus().publish([message(n) for n in range(5)])
    _killed(spawn, place, "before the commit")
    asked = place.faults.calls["Pull"]
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(place.log().read, 0, 5)
        until(lambda: place.faults.calls["Pull"] > asked + 1, "it looks again though a pull found nothing")
        place.redeliver()
        assert len(read.result(20)) == 5


def test_killed_between_commit_and_acknowledgement_nothing_is_doubled(place, spawn):  # noqa: F811
    place.bus().publish([message(n) for n in range(5)])
    _killed(spawn, place, "after the commit")
    log = place.log()
    assert [logged.offset for logged in log.read(0, 5)] == [1, 2, 3, 4, 5]
    place.redeliver()
    log.publish([message(5)])
    assert [logged.message for logged in log.read(5, 1)] == [message(5)]
    assert adapters.open_event_log(f"sqlite:{place.journal}").totals()["events"] == 6


def test_logs_that_pull_at_once_share_one_journal_without_gaps(place):
    bus, logs = place.bus(), [place.log() for _ in range(4)]

    def read(log: EventLog) -> list[int]:
        offsets: list[int] = []
        while len(offsets) < 300:
            offsets += [logged.offset for logged in log.read(len(offsets), 50)]
        return offsets

    with ThreadPoolExecutor(5) as pool:
        readers = [pool.submit(read, log) for log in logs]
        for start in range(0, 300, 10):
            bus.publish([message(start + n) for n in range(10)])
        assert [reader.result(60) for reader in readers] == [list(range(1, 301))] * 4
    assert sorted(keys(logs[0])) == list(range(300))


def test_what_is_kept_is_acknowledged_and_never_comes_again(place):
    log = place.log()
    log.publish([message(1), message(2)])
    place.faults.on("Pull", repeat(changed(place.seen)))
    assert keys(log) == [1, 2]
    place.redeliver()
    log.totals()
    assert len(place.ack_ids) == 2


def test_who_asks_while_another_keeps_what_it_pulled_waits_for_it(place):
    log, journal = place.log(), adapters.open_event_log(f"sqlite:{place.journal}")
    log.publish([message(1), message(2)])
    pulled, go_on = threading.Event(), threading.Event()

    def keep(messages: Sequence[Message]) -> None:
        pulled.set()
        assert go_on.wait(20)
        journal.publish(messages)

    slow = Subscription(place.subscription, Path(f"{place.journal}.pulling"))
    with ThreadPoolExecutor(2) as pool:
        keeping = pool.submit(slow.collect, keep, time.time())
        assert pulled.wait(20)
        counted = pool.submit(log.last_offset)
        wait([counted], 0.3)
        assert place.faults.calls["Pull"] == 1, "one pulls at a time"
        go_on.set()
        assert counted.result(20) == 2
        keeping.result(20)


def test_what_is_no_bus_message_is_left_to_pubsub_and_keeps_nobody_up(place, caplog):
    with publisher() as client:
        client.publish(request={"topic": place.topic, "messages": [{"data": b"hello", "attributes": {"key": "zz"}}]})
    log = place.log()
    log.publish([message(1)])
    place.faults.on("Pull", repeat(changed(place.seen)))
    assert keys(log) == [1]
    assert "left to become a dead letter" in caplog.text
    caplog.clear()
    place.redeliver()
    assert keys(log) == [1]
    assert "left to become a dead letter" in caplog.text


def test_an_announcement_that_cannot_be_made_is_said(place):
    place.faults.on("Publish", [before(StatusCode.PERMISSION_DENIED)])
    with pytest.raises(Unavailable, match="announce"):
        Announcements(place.topic.replace("projects/", "").replace("topics/", "")).announce("8")


def test_a_follower_outlives_a_lost_stream_and_looks_for_itself(place):
    announcements = Announcements(place.topic.replace("projects/", "").replace("topics/", ""))
    heard: list[str] = []
    place.faults.on("StreamingPull", [before(StatusCode.PERMISSION_DENIED), before(StatusCode.UNAVAILABLE)])
    following = announcements.follow(heard.append)
    try:
        until(lambda: heard.count("") == 2, "it looked, lost its stream, and looked again")
        announcements.announce("8")
        until(lambda: "8" in heard, "it hears what is announced")
    finally:
        following.close()
    assert place.faults.calls["DeleteSubscription"] == 1


def test_a_follower_outlives_an_announcement_that_is_no_text(place):
    heard: list[str] = []
    following = Announcements(place.topic.replace("projects/", "").replace("topics/", "")).follow(heard.append)
    try:
        until(lambda: heard == [""], "it follows")
        with publisher() as client:
            for data in (b"\xff", b"8"):
                client.publish(request={"topic": place.topic, "messages": [{"data": data}]})
        until(lambda: "8" in heard, "it hears what is announced after it")
    finally:
        following.close()


@pytest.mark.parametrize("left", [bytes(24), b"17000 3"])
def test_a_note_that_a_loss_of_power_garbled_stops_no_reader(place, left):
    log = place.log()
    log.publish([message(1)])
    Path(f"{place.journal}.pulling").write_bytes(left)
    assert keys(log) == [1]
