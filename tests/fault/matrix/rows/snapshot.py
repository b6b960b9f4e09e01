"""The newest model, damaged where it lies; then built anew from history."""

from __future__ import annotations

from pathlib import Path

from omakase import models
from omakase.adapters import open_model_store
from omakase.core.errors import Corrupt
from omakase.ports.model_store import ModelKey, ModelStore
from tests.fault.matrix.commands import rebuild
from tests.fault.matrix.row import Scene, until
from tests.fault.matrix.rows.kills import kill


def damage_snapshot(scene: Scene) -> str:
    """Flip bytes of the newest snapshot of a model, kill its recommender on top, rebuild the model."""
    store = open_model_store(scene.deployment.uris.models)
    key = models.resolve(store, "clicks")
    directory = scene.deployment.root / "models" / key.replace("/", "%2f")
    until(lambda: _damage(store, key, directory), "a damaged snapshot stays the newest")
    scene.serve(100)
    kill(scene, "recommender-main")
    scene.up.wait_ready(60.0)
    ranked = scene.load.notes.slates - scene.load.notes.fallbacks
    until(lambda: scene.load.notes.slates - scene.load.notes.fallbacks > ranked + 50, "the recommender ranks again")
    rebuild(scene.deployment, "clicks")
    return "newest snapshot's bytes flipped, its recommender killed, then models rebuild"


def _damage(store: ModelStore, key: ModelKey, directory: Path) -> bool:
    """Whether nobody published over it: a trainer that had read it before goes on from what it read."""
    path = directory / f"{store.generation(key)}.snapshot"
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes(byte ^ 0xFF for byte in content[100:164]) + content[164:])
    try:
        store.latest(key)
    except Corrupt:
        return True
    return False
