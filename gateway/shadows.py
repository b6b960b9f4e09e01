"""Slates that nobody sees: ranked and recorded beside the one that is shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from gateway import metrics
from gateway.recommenders import Away
from gateway.routing import Arm
from omakase.core.errors import OmakaseError
from omakase.v1 import recommender_pb2 as pb

log = logging.getLogger(__name__)

# More than these at once, and shadows would take what the slates that people wait for need.
MOST = 100


class Shadows:
    """Asks for shadows and waits for none of them.

    Guarantees: no request is later or fails for a shadow; of its reply only the recommender's record is kept. At most
    `most` are under way, what is over that is not asked. What became of each is counted.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._under_way: set[asyncio.Task[None]] = set()

    def cast(self, shown: pb.RecommendRequest, arms: Sequence[Arm]) -> None:
        """Ask what these would have shown to the same person. `shown` is not changed. Never blocks, never raises."""
        for arm in arms:
            if len(self._under_way) >= self._most:
                metrics.SHADOWS.labels("not_asked").inc()
                continue
            task = asyncio.get_running_loop().create_task(_ask(_shadow_of(shown, arm), arm))
            self._under_way.add(task)  # the loop itself keeps no strong reference
            task.add_done_callback(self._under_way.discard)


async def _ask(query: pb.RecommendRequest, arm: Arm) -> None:
    try:
        await arm.recommender.ask(query)
    except Away:
        metrics.SHADOWS.labels("lost").inc()
    except OmakaseError as error:  # such as a filter that the catalogue has no fact for: the caller was told by then
        metrics.SHADOWS.labels("refused").inc()
        log.debug("shadow %s at %s: %s", query.variant, query.placement, error)
    else:
        metrics.SHADOWS.labels("ranked").inc()


def _shadow_of(shown: pb.RecommendRequest, arm: Arm) -> pb.RecommendRequest:
    query = pb.RecommendRequest()
    query.CopyFrom(shown)
    query.variant, query.policy, query.model = arm.variant, arm.policy, arm.model
    query.experiment, query.shadow, query.explain = "", True, False
    return query
