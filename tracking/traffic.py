"""Traffic that is no person's: programs by their names, rates above a limit, clicks sooner than anybody can."""

from __future__ import annotations

from collections import Counter as Counts
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from prometheus_client import Counter

from omakase.config.schema import Traffic
from omakase.core.events import CLICK, Event
from omakase.core.ids import RequestId, issued_at
from omakase.wire import RecordedSlate

UNWANTED = Counter("omakase_events_unwanted", "Accepted events that exclude their delivery from learning", ["reason"])

BOT, TOO_FAST, USER_RATE, ADDRESS_RATE = "bot", "too_fast", "user_rate", "address_rate"
# As much of a browser's name as is looked at: it may be as long as its sender likes.
_AGENT_LENGTH = 1024
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request. `address` and `agent` (the browser's name) are looked at and never stored."""

    address: str = ""
    agent: str = ""
    by_server: bool = False


class Rates:
    """How often each of many names came within the last minute.

    A name has two counters, of this minute and of the one before. Of the minute before counts the share that the
    sliding minute still covers, as if it had been even: exact for steady traffic. The `remembered` names that came
    last are known, some 250 bytes each; whoever falls out begins at zero. Nothing of it is stored. What is
    older than the minute before is not judged.
    """

    def __init__(self, limit: int, remembered: int = 100_000) -> None:
        self.limit = limit
        self._remembered = remembered
        self._counts: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    def excess(self, name: str, n: int, at: float) -> int:
        """Count `n` more. Returns how many of them, the last ones, are over the limit. Units: at in Unix seconds."""
        minute, into = int(at // _MINUTE_S), at % _MINUTE_S / _MINUTE_S
        known, before, now = self._counts.pop(name, (minute, 0, 0))
        if minute < known - 1:  # it waited for its delivery: what was usual in its own minute is not known any more
            self._counts[name] = (known, before, now)
            return 0
        if minute > known:
            before, now = (now if minute == known + 1 else 0), 0
        room = int(self.limit - before * (1.0 - into)) - now
        self._counts[name] = (max(minute, known), before, now + n)
        if len(self._counts) > self._remembered:
            self._counts.popitem(last=False)
        return min(n, max(0, n - room))


class TrafficRules:
    """Judges events by who sends them, and by whose they are. One thread a method.

    Guarantees: what the shop's own server sent is not judged; an event gets one reason, the first that was found.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._users: Rates | None = None
        self._addresses: Rates | None = None
        self.follow(traffic)

    def follow(self, traffic: Traffic) -> None:
        """Judge by this from now on. What was counted counts on."""
        self._bots = tuple(bot.lower() for bot in traffic.bots if bot)
        self._min_click_delay_s = traffic.min_click_delay_s
        self._users = _limited(self._users, traffic.max_events_per_minute_of_user)
        self._addresses = _limited(self._addresses, traffic.max_events_per_minute_of_address)

    def judge(self, events: list[Event], caller: Caller) -> list[Event]:
        """What the request alone tells. Cost: some microseconds a request."""
        if caller.by_server or not events:
            return events
        agent = caller.agent[:_AGENT_LENGTH].lower()
        if any(bot in agent for bot in self._bots):
            return _marked(events, BOT)
        if self._addresses is not None and caller.address:
            fine = len(events) - self._addresses.excess(caller.address, len(events), events[0].received_at)
            if fine < len(events):
                events = events[:fine] + _marked(events[fine:], ADDRESS_RATE)
        delay_s = self._min_click_delay_s
        if not delay_s:
            return events
        return [_marked([event], TOO_FAST)[0] if _is_too_fast(event, delay_s) else event for event in events]

    def judge_users(self, events: list[Event], slates: Mapping[RequestId, RecordedSlate | None]) -> list[Event]:
        """What is known once an event has met its slate: how much its user does."""
        if self._users is None:
            return events
        return [self._of_user(event, slates.get(event.request_id), self._users) for event in events]

    def _of_user(self, event: Event, slate: RecordedSlate | None, users: Rates) -> Event:
        if slate is None or event.by_server:
            return event
        user = slate.user or slate.unit
        is_over = bool(user) and users.excess(user, 1, event.received_at) > 0
        return _marked([event], USER_RATE)[0] if is_over else event


def _limited(rates: Rates | None, limit: int | None) -> Rates | None:
    if rates is None or limit is None:
        return None if limit is None else Rates(limit)
    rates.limit = limit
    return rates


def _is_too_fast(event: Event, delay_s: float) -> bool:
    # A request id is made when its slate is, so the delivery's record need not be there yet.
    return event.type == CLICK and event.received_at - issued_at(event.request_id) < delay_s


def _marked(events: Sequence[Event], reason: str) -> list[Event]:
    counts = Counts(reason for event in events if not event.unwanted)
    for name, count in counts.items():
        UNWANTED.labels(name).inc(count)
    return [event if event.unwanted else replace(event, unwanted=reason) for event in events]
