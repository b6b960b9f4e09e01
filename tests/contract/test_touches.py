"""Contract of the touches."""

import os
import signal

import pytest

from omakase.ports.touches import Touch, Touched

NOTE_FOR_EVER = """
import sys
from omakase.adapters import open_touches
from omakase.ports.touches import Touch, Touched
touches, n = open_touches(sys.argv[1]), 0
while True:
    touches.note([Touch(n.to_bytes(16, "big"), 1.0, "unit", "", 1.0, "home", "learnt", "ts", (Touched(1, "i", True),))])
    n += 1
    print(n, flush=True)
"""


def touch(n: int, unit: str = "unit", user: str = "", at: float | None = None) -> Touch:
    items = (Touched(1, f"i{n}", True), Touched(2, 'quote " and ü', False))
    when = float(n) if at is None else at
    return Touch(n.to_bytes(16, "big"), when, unit, user, 0.5, "home-top", "learnt", "thompson", items)


@pytest.fixture
def touches(touches_stores):
    return touches_stores.open()


def test_is_empty_at_first(touches):
    assert touches.of(["unit"], 0.0, 1e12, 10) == []
    assert (touches.expire(1e12), touches.forget(["unit"])) == (0, 0)


def test_gives_back_what_it_was_told_by_unit_and_by_user_newest_first(touches):
    anna, ben, both = touch(1, "a"), touch(2, "b", "ben"), touch(3, "c", "ben")
    touches.note([both, anna, ben])
    assert touches.of(["a"], 0.0, 10.0, 10) == [anna]
    assert touches.of(["ben"], 0.0, 10.0, 10) == [both, ben]
    assert touches.of(["b"], 0.0, 10.0, 10) == [ben]
    assert touches.of(["a", "ben", "c", "nobody"], 0.0, 10.0, 10) == [both, ben, anna]
    assert touches.of([], 0.0, 10.0, 10) == []


def test_gives_the_newest_of_a_span_that_holds_both_its_ends(touches):
    touches.note([touch(n) for n in range(10)])
    assert [found.at for found in touches.of(["unit"], 3.0, 7.0, 10)] == [7.0, 6.0, 5.0, 4.0, 3.0]
    assert [found.at for found in touches.of(["unit"], 3.0, 7.0, 2)] == [7.0, 6.0]
    assert [found.at for found in touches.of(["unit", "unit"], 3.0, 7.0, 2)] == [7.0, 6.0]


def test_touches_of_nobody_are_passed_over(touches):
    touches.note([touch(1, unit="")])
    touches.note([])
    assert touches.of([""], 0.0, 10.0, 10) == []
    assert touches.expire(1e12) == 0


def test_a_touch_noted_twice_is_there(touches):
    touches.note([touch(1)])
    touches.note([touch(1)])
    assert set(touches.of(["unit"], 0.0, 10.0, 10)) == {touch(1)}


def test_expires_a_bounded_number_of_the_old_at_a_time_until_none_are_left(touches):
    touches.note([touch(n, at=1.0) for n in range(15_000)])
    touches.note([touch(20_000, at=2.0)])
    steps = [touches.expire(2.0)]
    while steps[-1]:
        steps.append(touches.expire(2.0))
    assert sum(steps) == 15_000
    assert max(steps) <= 10_000
    assert touches.of(["unit"], 0.0, 10.0, 10) == [touch(20_000, at=2.0)]


def test_forgets_people_whether_unit_or_user(touches):
    touches.note([touch(1, "a"), touch(2, "b", "ben"), touch(3, "c", "carl")])
    assert touches.forget(["a", "ben"]) == 2
    assert touches.of(["a", "b", "ben", "c"], 0.0, 10.0, 10) == [touch(3, "c", "carl")]
    assert touches.forget([]) == 0


def test_keeps_what_it_acknowledged_when_the_writer_is_killed(touches_stores, spawn):
    child = spawn(NOTE_FOR_EVER, touches_stores.uri)
    acknowledged = 0
    while acknowledged < 50:
        acknowledged = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
    assert len(touches_stores.open().of(["unit"], 0.0, 10.0, 1_000_000)) >= acknowledged
