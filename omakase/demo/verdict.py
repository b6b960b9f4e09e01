"""Whether a run's books balance: the services' account, and the shoppers' own count beside it."""

from __future__ import annotations

from omakase.core.accounting import Account
from omakase.demo.progress import Progress


def faults(account: Account, progress: Progress) -> list[str]:
    """Everything that does not balance after a drain, in words; empty when every event and delivery is accounted for.

    The shoppers know what they got a 202 for. Where an answer got lost on the way they cannot know, so the service may
    have accepted up to that many more. It may have recorded more deliveries than were shown, for a slate that came too
    late was recorded too, but never fewer.
    """
    found = account.faults()
    most = progress.accepted + progress.unknown
    if not progress.accepted <= account.accepted <= most:
        expected = f"{progress.accepted}" if most == progress.accepted else f"{progress.accepted} to {most}"
        found.append(f"shoppers got a 202 for {expected} events, tracking accepted {account.accepted}")
    if account.recorded < progress.deliveries:
        found.append(f"shoppers were shown {progress.deliveries} deliveries, tracking recorded {account.recorded}")
    if account.unread or account.parked or account.events.open:
        found.append(
            f"after the drain {account.unread} messages are unread, {account.parked} events wait and "
            f"{account.events.open} are open"
        )
    if not progress.is_final:
        found.append("the shoppers' last count is missing: their process ended early")
    return found
