"""Pages behave like people: late, lossy, repetitive, and the same for the same luck."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from omakase.demo.behaviour import (
    CLICK_FIRST,
    LOST_IMPRESSIONS,
    LOST_PAGE,
    REPEATED,
    WITH_EVENT_IDS,
    Beacon,
    beacons,
)
from omakase.demo.product import product

IDS = ("a", "b", "c")
PAGES = 20_000


def page(n: int, probability: float = 0.3) -> tuple[Beacon, ...]:
    return beacons(f"v{n}", IDS, np.full(3, probability), np.random.default_rng([9, n]))


@pytest.fixture(scope="module")
def pages() -> list[tuple[Beacon, ...]]:
    return [page(n) for n in range(PAGES)]


def has_impressions(sent: tuple[Beacon, ...]) -> bool:
    return any(event["type"] == "impression" for beacon in sent for event in beacon.events)


def test_the_same_luck_gives_the_same_page() -> None:
    assert [page(n) for n in range(50)] == [page(n) for n in range(50)]
    assert page(1) != page(2)


def test_beacons_are_lost_and_repeated_about_as_often_as_stated(pages: list[tuple[Beacon, ...]]) -> None:
    sent = [p for p in pages if p]
    beacons_sent = [beacon for p in sent for beacon in {id(b.events): b for b in p}.values()]
    repeats = sum(len(p) for p in sent) - len(beacons_sent)
    # Five standard errors of the widest share, sqrt(0.5 · 0.5 / 20,000).
    close = {"abs": 5 * 0.0036}
    without_impressions = sum(not has_impressions(p) for p in pages) / PAGES
    assert without_impressions == pytest.approx(LOST_PAGE + LOST_IMPRESSIONS, **close)
    assert 0.001 < without_impressions < 0.1
    assert repeats / len(beacons_sent) == pytest.approx(REPEATED, **close)
    assert repeats > 0
    named = sum("event_id" in p[0].events[0] for p in sent) / len(sent)
    assert named == pytest.approx(WITH_EVENT_IDS, **close)


def test_clicks_survive_the_loss_of_their_impressions(pages: list[tuple[Beacon, ...]]) -> None:
    assert any(p and not has_impressions(p) for p in pages)


def test_some_clicks_overtake_their_impressions(pages: list[tuple[Beacon, ...]]) -> None:
    both = [p for p in pages if has_impressions(p) and any(e["type"] == "click" for b in p for e in b.events)]
    overtaken = sum(p[0].events[0]["type"] == "click" for p in both) / len(both)
    assert overtaken == pytest.approx(CLICK_FIRST, abs=0.02)


def test_clicks_follow_their_probabilities() -> None:
    clicked: Counter[str] = Counter()
    for n in range(5000):
        sent = beacons(f"v{n}", IDS, np.array([0.0, 0.5, 1.0]), np.random.default_rng([3, n]))
        clicked.update({e["delivery_id"] for b in sent for e in b.events if e["type"] == "click"})
    assert clicked["a"] == 0
    assert clicked["b"] / clicked["c"] == pytest.approx(0.5, abs=0.03)
    assert clicked["c"] / 5000 == pytest.approx(1 - LOST_PAGE, abs=0.01)


def test_a_delivery_has_one_impression_and_one_click_besides_exact_repeats(pages: list[tuple[Beacon, ...]]) -> None:
    for p in pages[:2000]:
        distinct = {id(beacon.events): beacon.events for beacon in p}.values()
        counts = Counter((event["delivery_id"], event["type"]) for events in distinct for event in events)
        assert all(count == 1 for count in counts.values())


def test_event_ids_never_name_two_events(pages: list[tuple[Beacon, ...]]) -> None:
    named = {
        (event["event_id"], event["delivery_id"], event["type"])
        for p in pages
        for beacon in p
        for event in beacon.events
        if "event_id" in event
    }
    visits = [(n, e["event_id"]) for n, p in enumerate(pages) for b in p for e in b.events if "event_id" in e]
    assert len({event_id for event_id, _, _ in named}) == len(named)
    assert len({event_id for _, event_id in visits}) == len(set(visits))


def test_everything_comes_in_order_and_within_one_session(pages: list[tuple[Beacon, ...]]) -> None:
    gap_s = product()["learning"]["session_gap_s"]
    for p in pages:
        times = [beacon.after_s for beacon in p]
        assert times == sorted(times)
        assert all(later - earlier < gap_s for earlier, later in pairwise(times))
        assert not times or 0.05 <= times[0] < gap_s
