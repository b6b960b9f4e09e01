"""The scoreboard counts what a brute-force count counts, whatever comes twice, late or out of order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omakase.adapters.local.event_log import SqliteEventLog
from omakase.core.evaluation import clustered_rate
from omakase.core.events import CLICK, IMPRESSION, Event, Joined
from omakase.core.ids import NOBODY, Pseudonym, RequestId
from omakase.demo.scoreboard import LogReader, Scoreboard
from omakase.ports.event_bus import Message
from omakase.wire import bus_body

NOTHING = np.empty(0, dtype=np.float32)


def event(request: int, position: int, kind: str, at: float = 0.0, person: str = "p", variant: str = "learnt") -> Event:
    joined = Joined(0.0, "home-top", variant, "thompson", "", Pseudonym(person), "tea-01", NOTHING, NOTHING)
    name = request.to_bytes(16, "big")
    return Event(name, RequestId(name), position, kind, at, delivery=joined)


def random_events(count: int, seed: int) -> list[Event]:
    rng = np.random.default_rng(seed)
    requests = rng.integers(count // 4, size=count)
    return [
        event(
            int(request),
            int(rng.integers(1, 4)),
            str(rng.choice([IMPRESSION, CLICK, "conversion"], p=[0.8, 0.15, 0.05])),
            float(at),
            person=f"p{request % 40}",
            variant="learnt" if request % 40 < 20 else "uniform",
        )
        for at, request in enumerate(requests)
    ]


def brute_force(events: list[Event], variant: str) -> tuple[dict[str, int], dict[str, int]]:
    """Distinct deliveries seen and clicked, per person."""
    seen, clicked = set(), set()
    for e in events:
        if e.delivery is not None and e.delivery.variant == variant:
            seen.add((e.delivery.unit, e.request_id, e.position))
            if e.type == CLICK:
                clicked.add((e.delivery.unit, e.request_id, e.position))
    people = {person for person, _, _ in seen}
    return (
        {person: sum(key[0] == person for key in seen) for person in people},
        {person: sum(key[0] == person for key in clicked) for person in people},
    )


@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_counting_by_hand(seed: int) -> None:
    events = random_events(4000, seed)
    board = Scoreboard()
    for e in events:
        board.add(e)
    for variant in ("learnt", "uniform"):
        seen, clicked = brute_force(events, variant)
        score = board.score(variant)
        assert (score.people, score.impressions, score.clicks) == (len(seen), sum(seen.values()), sum(clicked.values()))
        expected = clustered_rate([clicked[person] for person in seen], list(seen.values()))
        assert (score.ctr.value, score.ctr.low, score.ctr.high) == pytest.approx(
            (expected.value, expected.low, expected.high)
        )


def test_the_order_of_events_is_nothing_to_it() -> None:
    events = random_events(2000, 7)
    forward, backward = Scoreboard(), Scoreboard()
    for e in events:
        forward.add(e)
    for e in reversed(events):
        backward.add(e)
    assert forward.score("learnt").clicks == backward.score("learnt").clicks
    assert forward.score("learnt").impressions == backward.score("learnt").impressions


def test_a_click_without_its_impression_was_seen() -> None:
    board = Scoreboard()
    board.add(event(1, 2, CLICK))
    assert (board.score("learnt").impressions, board.score("learnt").clicks) == (1, 1)


def test_orphans_and_people_who_do_not_want_to_be_measured_are_left_out() -> None:
    board = Scoreboard()
    board.add(replace(event(1, 1, CLICK), delivery=None))
    board.add(event(2, 1, CLICK, person=NOBODY))
    assert board.score("learnt").people == 0


def test_a_window_counts_only_what_came_in_it() -> None:
    board = Scoreboard()
    board.add(event(1, 1, IMPRESSION, at=10.0))
    board.add(event(1, 1, CLICK, at=20.0))
    board.add(event(2, 1, IMPRESSION, at=21.0))
    recent = board.score("learnt", since=15.0)
    assert (recent.impressions, recent.clicks) == (1, 1)
    assert board.latest_at == 21.0


def test_an_unknown_variant_has_no_data() -> None:
    score = Scoreboard().score("learnt")
    assert (score.people, score.ctr.n) == (0, 0)


def test_the_reader_takes_each_message_once_and_holds_the_trimming_back_until_it_is_closed(tmp_path: Path) -> None:
    log, board = SqliteEventLog(tmp_path / "bus.db"), Scoreboard()
    events = [event(n, 1, IMPRESSION) for n in range(1, 11)]
    messages = [Message(e.receipt_id, e.received_at, bus_body(e)) for e in events]
    reader = LogReader(log, board)
    log.publish(messages[:4])
    log.acknowledge("trainer", 4)
    assert log.trim() == 0
    reader.catch_up()
    reader.catch_up()
    assert log.trim() == 3
    log.publish(messages[4:])
    reader.catch_up()
    assert board.score("learnt").impressions == 10
    log.acknowledge("trainer", 10)
    reader.close()
    assert log.trim() == 6
