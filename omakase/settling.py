"""How far the trainer of a data directory has got, where its models cannot say so."""

from __future__ import annotations

from omakase import models
from omakase.adapters import open_pending_batches, open_training_state
from omakase.deployment import Deployment
from omakase.ports.model_store import ModelKey


def settled_in(deployment: Deployment, key: ModelKey) -> dict[str, int]:
    """Up to which batch of each shard a model holds all: see `omakase.models.roll_back`. Raises: Unavailable."""
    uri = deployment.uris.training
    state, batches = open_training_state(uri), open_pending_batches(uri)
    return models.settled(state, batches, deployment.shard(state.incarnation()), key)
