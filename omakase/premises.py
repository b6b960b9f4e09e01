"""What can be done only where everything that is kept can be reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from omakase import models
from omakase.adapters import open_pending_batches, open_training_state
from omakase.core.errors import Conflict
from omakase.core.ids import Pseudonym
from omakase.deployment import Deployment
from omakase.ports.clock import Clock
from omakase.ports.model_store import ModelKey
from omakase.privacy.forgetting import Forgetting, Places
from omakase.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Premises:
    """One data directory, or the stores that a cluster shares; while services run or not."""

    places: Places
    clock: Clock

    @classmethod
    def in_directory(cls, deployment: Deployment, clock: Clock) -> Self:
        return cls(Places.of(deployment), clock)

    @classmethod
    def of(cls, settings: GatewaySettings, clock: Clock) -> Self | None:
        """Those of a service; None if it is not told of all of them."""
        if settings.data_dir is not None:
            return cls.in_directory(Deployment(Path(settings.config), Path(settings.data_dir)), clock)
        contexts, deliveries, bus, warehouse = settings.contexts, settings.deliveries, settings.bus, settings.warehouse
        if contexts is None or deliveries is None or bus is None or warehouse is None:
            return None
        return cls(Places(contexts, deliveries, bus, warehouse), clock)

    def forget(self, people: Sequence[Pseudonym]) -> dict[str, int]:
        """Take people out of everything. Returns how much was reached, by place. Raises: Unavailable; repeat it."""
        return Forgetting(self.places, people, self.clock.now()).run()

    def settled(self, key: ModelKey) -> dict[str, int]:
        """Up to which batch of each shard a model holds all: see `omakase.models.roll_back`.

        Raises: Conflict where no trainer keeps its memory here; Unavailable.
        """
        if self.places.directory is None:
            raise Conflict(
                f"the newest snapshot of {key} cannot be read, and nobody here knows what it held: rebuild it"
            )
        uri = self.places.directory.uris.training
        state, batches = open_training_state(uri), open_pending_batches(uri)
        return models.settled(state, batches, self.places.directory.shard(state.incarnation()), key)
