"""Delivery records that name somebody who was forgotten after they were served: they come late, from a spool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omakase.ports.event_bus import Message
from omakase.ports.forgotten import Forgotten
from omakase.privacy.anonymity import anonymous_slate
from omakase.privacy.exclusions import exclusions
from omakase.wire import SpooledSlate


@dataclass(frozen=True, slots=True)
class Latecomers:
    """Slates as they may be kept, and what keeps those that were blanked from being learnt."""

    slates: Sequence[SpooledSlate]
    exclusions: Sequence[Message]


def without_the_forgotten(slates: Sequence[SpooledSlate], forgotten: Forgotten, now: float) -> Latecomers:
    """Make those slates nobody's that were served before their person was forgotten. Raises: Unavailable."""
    at = forgotten.find(person for slate in slates for person in (slate.unit, slate.user) if person)
    if not at:
        return Latecomers(slates, ())
    kept: list[SpooledSlate] = []
    excluded: list[Message] = []
    for slate in slates:
        people = [person for person in (slate.unit, slate.user) if slate.served_at <= at.get(person, -1.0)]
        if people:
            slate = SpooledSlate.of(anonymous_slate(slate.body, people))
            excluded += exclusions(slate.request_id, slate.body, now)
        kept.append(slate)
    return Latecomers(kept, excluded)
