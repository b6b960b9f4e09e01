"""What the storefront wrote down: each slate it was given, and each time it sent an event, with what came of it."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

# A sending's number is the fraction of its `occurred_at`, in millionths, so that tracking's log tells each one apart.
_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Wish:
    """Something that a person did with a delivery. `event_id` is empty where the storefront gives none."""

    delivery_id: str
    type: str
    event_id: str = ""


class Answer(StrEnum):
    """What the storefront knows of one sending. UNKNOWN: cut, or a 503; it may be stored all the same."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Shown:
    """One item of a slate that the storefront was given."""

    item_id: str
    is_fallback: bool


@dataclass(slots=True)
class Notes:
    """Safe to share between threads.

    `cut` counts requests whose connection ended before the answer, `refused` the 503s of tracking. `errors` is what a
    storefront should never see, in words.
    """

    requests: int = 0
    slates: int = 0
    fallbacks: int = 0
    cut: int = 0
    refused: int = 0
    errors: list[str] = field(default_factory=list)
    shown: dict[str, Shown] = field(default_factory=dict)
    sent: dict[int, tuple[Wish, Answer]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: int = 0

    def count(self, *, requests: int = 0, cut: int = 0, refused: int = 0) -> None:
        with self._lock:
            self.requests += requests
            self.cut += cut
            self.refused += refused

    def complain(self, error: str) -> None:
        with self._lock:
            self.errors.append(error)

    def show(self, slate: dict[str, Shown], *, is_fallback: bool) -> None:
        with self._lock:
            self.slates += 1
            self.fallbacks += is_fallback
            self.shown.update(slate)

    def begin(self, wishes: Sequence[Wish]) -> list[int]:
        """A number for each wish that is about to be sent; until something is known of them they are UNKNOWN."""
        with self._lock:
            numbers = list(range(self._numbers, self._numbers + len(wishes)))
            self._numbers += len(wishes)
            assert self._numbers < _MOST, "more events than an occurred_at can number"
            self.sent.update({n: (wish, Answer.UNKNOWN) for n, wish in zip(numbers, wishes, strict=True)})
        return numbers

    def learn(self, number: int, answer: Answer) -> None:
        with self._lock:
            self.sent[number] = (self.sent[number][0], answer)

    def accepted(self) -> int:
        """How many sendings got a 202."""
        with self._lock:
            return sum(answer is Answer.ACCEPTED for _, answer in self.sent.values())


def stamped(second: float, number: int) -> float:
    """An `occurred_at` in this second that carries the number."""
    return math.floor(second) + number / _MOST


def number_of(occurred_at: float) -> int:
    """The number that `stamped` put there."""
    return round((occurred_at - math.floor(occurred_at)) * _MOST)
