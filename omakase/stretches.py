"""Since when people have been dealt as they are now, from the ledger of allocations: what counts in a sample ratio."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from omakase.allocations import KEY, Allocations, decode
from omakase.core.allocation import Allocation, Schedule
from omakase.core.errors import Corrupt, NotFound
from omakase.ports.model_store import ModelStore

# A salt, and shares by their greatest common divisor: equal where people are dealt alike.
Dealing: TypeAlias = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Stretch:
    """For how long the proportions of some arms have been these. Units: since in Unix seconds; shares in buckets."""

    shares: Mapping[str, int]
    since: float


def newest_stretch(history: Iterable[Schedule], arms: Sequence[str], now: float) -> Stretch:
    """The stretch that lasts until now, or until the arms had nobody any more.

    A ramp that lets all arms grow alike ends none, for it deals nobody from one to another; another salt does.
    `history` is newest first; one schedule may come repeatedly. If the arms never had anybody, that is since ever.
    """
    until, since = math.nextafter(now, math.inf), 0.0
    dealing: Dealing | None = None
    shares = dict.fromkeys(arms, 0)
    for schedule in history:
        starts = (schedule.since, *schedule.starts)
        for start, allocation in reversed(list(zip(starts, schedule.allocations, strict=True))):
            # What was to begin after its schedule had been replaced never was.
            if start >= until:
                continue
            until, found = start, _shares(allocation, arms)
            if dealing is None and any(found.values()):
                dealing, shares = _dealing(allocation.salt, found), found
            elif dealing is not None and _dealing(allocation.salt, found) != dealing:
                return Stretch(shares, since)
            since = start if dealing else 0.0
    return Stretch(shares, since)


def ledgers(store: ModelStore) -> Iterator[Allocations]:
    """All that is kept of the ledger, newest first; what is damaged or gone meanwhile is left out."""
    for generation in store.history(KEY):
        try:
            yield decode(store.read(KEY, generation))
        except (Corrupt, NotFound):
            continue


def _shares(allocation: Allocation, arms: Sequence[str]) -> dict[str, int]:
    shares = allocation.shares
    return {arm: shares.get(arm, 0) for arm in arms}


def _dealing(salt: str, shares: Mapping[str, int]) -> Dealing:
    whole = math.gcd(*shares.values()) or 1
    return salt, tuple(share // whole for share in shares.values())
