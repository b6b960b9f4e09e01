"""What one person does with one page: look, maybe click, and lose or repeat a beacon on the way.

Pure and seeded by the visit, so a run's shoppers behave alike whatever the order in which answers come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from omakase.core.events import CLICK, IMPRESSION

# Shares of pages. A page whose impressions are lost still sends its clicks; a lost page sends nothing.
LOST_PAGE = 0.01
LOST_IMPRESSIONS = 0.02
REPEATED = 0.03
CLICK_FIRST = 0.1
WITH_EVENT_IDS = 0.5

# Seconds. All within the demo's session gap of 2 s, so that a page's events form one session.
_LOOK_AFTER_S = (0.05, 0.4)
_CLICK_AFTER_S = (0.2, 1.5)
_REPEAT_AFTER_S = (0.1, 0.8)

BeaconEvent: TypeAlias = dict[str, str]


@dataclass(frozen=True, slots=True)
class Beacon:
    """Events that a page sends together. Units: after_s in seconds since the page was shown."""

    after_s: float
    events: tuple[BeaconEvent, ...]


def beacons(
    visit: str, delivery_ids: Sequence[str], click_probabilities: NDArray[np.float64], rng: np.random.Generator
) -> tuple[Beacon, ...]:
    """Everything the page will send, in the order of sending.

    Shapes: click_probabilities (k,), one per delivery id. Guarantees: at most one click and one impression per
    delivery besides exact repeats; a repeat carries the same event ids, or none where there were none.
    """
    clicked = np.flatnonzero(rng.random(len(delivery_ids)) < click_probabilities)
    looked_s = rng.uniform(*_LOOK_AFTER_S)
    is_lost, has_impressions = rng.random() < LOST_PAGE, rng.random() >= LOST_IMPRESSIONS
    is_click_first, has_ids = rng.random() < CLICK_FIRST, rng.random() < WITH_EVENT_IDS
    click_delays = rng.uniform(*_CLICK_AFTER_S, size=len(delivery_ids))
    repeated, repeat_delays = rng.random(2 + len(delivery_ids)), rng.uniform(*_REPEAT_AFTER_S, 2 + len(delivery_ids))
    if is_lost:
        return ()

    def event(position: int, kind: str) -> BeaconEvent:
        named = {"event_id": f"{visit}-{position}-{kind}"} if has_ids else {}
        return {"delivery_id": delivery_ids[position], "type": kind, **named}

    sent = [Beacon(looked_s + click_delays[i], (event(int(i), CLICK),)) for i in clicked]
    if has_impressions:
        # Browsers send impressions when they find the time: now and then after the first click.
        late_s = min((beacon.after_s for beacon in sent), default=looked_s) + 0.1 if is_click_first else looked_s
        sent.append(Beacon(late_s, tuple(event(i, IMPRESSION) for i in range(len(delivery_ids)))))
    again = [
        Beacon(beacon.after_s + repeat_delays[i], beacon.events)
        for i, beacon in enumerate(sent)
        if repeated[i] < REPEATED
    ]
    return tuple(sorted((*sent, *again), key=lambda beacon: beacon.after_s))
