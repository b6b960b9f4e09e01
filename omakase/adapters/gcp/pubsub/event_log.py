"""The event log on a Pub/Sub subscription: what it delivers is kept in a journal on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from omakase.adapters.gcp.pubsub.clients import subscription_path, topic_path
from omakase.adapters.gcp.pubsub.event_bus import LOG_OPTIONS, PubSubEventBus
from omakase.adapters.gcp.pubsub.subscription import Subscription
from omakase.adapters.local.database import durability_of
from omakase.adapters.local.event_log import SqliteEventLog
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput
from omakase.ports.event_bus import Logged, Message

# Of acknowledged messages: a late redelivery is recognised among that many newer ones.
_REMEMBERED = 10_000_000


class PubSubEventLog:
    """EventBus and EventLog.

    Offsets are the journal's. Whoever reads first pulls what was published until then into the journal, which takes
    each key once, and acknowledges it to Pub/Sub only after the journal's commit: what is pulled twice, by whom and in
    whatever order, is in it once. One subscription has one journal: the processes of one machine share both.

    The order is that of publication among what is pulled together; what Pub/Sub delivers again after a death or a lost
    answer comes later, behind messages that are newer. A consumer has to stand that, and the trainer does: an event
    that comes after its session has closed is a correction of the same sum.
    """

    def __init__(self, topic: str, subscription: str, path: Path, journal: SqliteEventLog) -> None:
        self._bus = PubSubEventBus(topic)
        self._journal = journal
        self._subscription = Subscription(subscription, path.with_name(path.name + ".pulling"))

    @classmethod
    def from_uri(cls, uri: Uri) -> PubSubEventLog:
        """`pubsub:PROJECT/TOPIC?subscription=NAME&journal=/path.db[&durability=os|disk]`. Raises: InvalidInput."""
        options = uri.only(*LOG_OPTIONS)
        if not options.get("subscription") or not options.get("journal"):
            raise InvalidInput(f"{uri.text!r}: to be read it needs ?subscription=NAME&journal=/path.db")
        topic, path = topic_path(uri.location), Path(options["journal"])
        if not path.is_absolute():
            raise InvalidInput(f"{uri.text!r}: the journal's path must be absolute, such as /data/journal.db")
        journal = SqliteEventLog(path, durability_of(uri), _REMEMBERED)
        return cls(topic, subscription_path(topic, options["subscription"]), path, journal)

    def publish(self, messages: Sequence[Message]) -> None:
        """See EventBus, and PubSubEventBus."""
        self._bus.publish(messages)

    def read(self, after: int, limit: int) -> list[Logged]:
        """See EventLog. Cost: none at Pub/Sub if the journal has as many; else see `Subscription.collect`."""
        now = time.time()
        while self._journal.last_offset() < after + limit and self._collect(now):
            pass
        return self._journal.read(after, limit)

    def last_offset(self) -> int:
        """See EventLog. What was published before the call is counted. Cost: as `totals`."""
        self._settle()
        return self._journal.last_offset()

    def totals(self) -> Mapping[str, int]:
        """See EventLog. What was published before the call is counted. Cost: pulls all that is there."""
        self._settle()
        return self._journal.totals()

    def acknowledge(self, consumer: str, offset: int) -> int:
        """See EventLog; Pub/Sub is not asked."""
        return self._journal.acknowledge(consumer, offset)

    def trim(self) -> int:
        """See EventLog. Cost: as `totals`, for an offset that is acknowledged must be in the journal to be dropped."""
        self._settle()
        return self._journal.trim()

    def rewrite(self, mentioning: Sequence[bytes], change: Callable[[bytes], bytes]) -> int:
        """See EventLog. What Pub/Sub still holds is pulled first, since there it cannot be changed."""
        self._settle()
        return self._journal.rewrite(mentioning, change)

    def _settle(self) -> None:
        now = time.time()
        while self._collect(now):
            pass

    def _collect(self, until: float) -> bool:
        return self._subscription.collect(self._journal.publish, until)
