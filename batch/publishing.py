"""What the jobs make, into the model store."""

from __future__ import annotations

import logging

from omakase.core.errors import Conflict, Corrupt
from omakase.ports.model_store import ABSENT, ModelKey, ModelStore

log = logging.getLogger(__name__)


def publish_changed(models: ModelStore, key: ModelKey, body: bytes) -> None:
    """Make `body` the newest snapshot, unless it is. Another run that publishes meanwhile wins: it saw as much.

    Raises: Unavailable.
    """
    try:
        newest, generation = models.latest(key) or (None, ABSENT)
    except Corrupt as error:
        log.error("%s is made anew: %s", key, error)
        newest, generation = None, models.generation(key)
    if newest == body:
        return
    try:
        models.publish(key, body, if_generation=generation)
    except Conflict:
        log.info("%s was published by another run", key)
