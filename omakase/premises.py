"""What can be done only where everything is kept in one data directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from omakase import models
from omakase.adapters import open_pending_batches, open_training_state
from omakase.core.ids import Pseudonym
from omakase.deployment import Deployment
from omakase.ports.clock import Clock
from omakase.ports.model_store import ModelKey
from omakase.privacy.forgetting import Forgetting
from omakase.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Premises:
    """One data directory, while services run in it or not."""

    deployment: Deployment
    clock: Clock

    @classmethod
    def of(cls, settings: GatewaySettings, clock: Clock) -> Self | None:
        """Those of a service; None if it is told of none."""
        if settings.data_dir is None:
            return None
        return cls(Deployment(Path(settings.config), Path(settings.data_dir)), clock)

    def forget(self, people: Sequence[Pseudonym]) -> dict[str, int]:
        """Take people out of everything. Returns how much was reached, by place. Raises: Unavailable; repeat it."""
        return Forgetting(self.deployment, people, self.clock.now()).run()

    def settled(self, key: ModelKey) -> dict[str, int]:
        """Up to which batch of each shard a model holds all: see `omakase.models.roll_back`. Raises: Unavailable."""
        uri = self.deployment.uris.training
        state, batches = open_training_state(uri), open_pending_batches(uri)
        return models.settled(state, batches, self.deployment.shard(state.incarnation()), key)
