"""Two trainers at once over one data directory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from omakase import models
from omakase.adapters import open_model_store
from omakase.deployment import Deployment
from tests.fault.matrix.row import Scene, pause, until

_BOTH_S = 12.0
_GRACE_S = 15.0


def run_two_trainers(scene: Scene) -> str:
    """A second trainer beside the supervised one; each of them is taken away once, and the other goes on alone."""
    first = scene.up.processes["trainer"]
    with second_trainer(scene.deployment) as second:
        pause(_BOTH_S)
        first.stop(_GRACE_S)
        until_published(scene, "clicks", 3, "the second trainer publishes alone")
        first.start()
        pause(_BOTH_S)
        second.kill()
        until_published(scene, "clicks", 3, "the first trainer publishes alone")
    return f"a second trainer, twice {_BOTH_S:g} s; the first stopped, then the second killed"


def until_published(scene: Scene, model: str, times: int, what: str) -> None:
    """Return when a model was published so many times more. Raises: Unmet."""
    store = open_model_store(scene.deployment.uris.models)
    key = models.resolve(store, model)
    goal = store.generation(key) + times
    until(lambda: store.generation(key) >= goal, what)


@contextmanager
def second_trainer(deployment: Deployment) -> Iterator[subprocess.Popen[bytes]]:
    """The settings of the supervised one, in a process of our own."""
    environ = {**os.environ, **deployment.trainer(None).to_environ(), "OPENBLAS_NUM_THREADS": "1"}
    with (deployment.root / "logs" / "second-trainer.log").open("wb") as sink:
        process = subprocess.Popen([sys.executable, "-P", "-m", "dataflow"], env=environ, stdout=sink, stderr=sink)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
