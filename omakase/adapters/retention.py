"""Which snapshots of a model are kept: one rule for every model store."""

from __future__ import annotations

from collections.abc import Iterable

from omakase.ports.model_store import Generation

KEPT_NEWEST = 20
KEPT_HOURLY_S = 7 * 86400.0


def thinned(published: Iterable[tuple[Generation, float]], now: float) -> set[Generation]:
    """Which generations to drop: all but the newest, and the last of each hour. Units: times in Unix seconds."""
    newest_first = sorted(published, reverse=True)
    dropped: set[Generation] = set()
    # The hours that the 20 newest fill need no other keeper.
    hours = {at // 3600 for _, at in newest_first[:KEPT_NEWEST]}
    for generation, at in newest_first[KEPT_NEWEST:]:
        if at // 3600 in hours or now - at > KEPT_HOURLY_S:
            dropped.add(generation)
        hours.add(at // 3600)
    return dropped
