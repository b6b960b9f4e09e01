"""`omakase models …`, as people run it, beside the running services."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from omakase.deployment import Deployment
from tests.fault.matrix.row import Skipped, Unmet

_MODELS = (str(Path(sys.executable).with_name("omakase")), "models")


def run(deployment: Deployment, *arguments: str) -> str:
    """What it printed. Raises: Unmet if it fails."""
    command = [*_MODELS, *arguments, "--data-dir", str(deployment.root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120.0, check=False)
    if done.returncode:
        raise Unmet(f"models {arguments[0]} ended with {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def rebuild(deployment: Deployment, model: str, excluded: str = "") -> None:
    """Build a model anew from the warehouse. Raises: Skipped where this Omakase cannot do it yet."""
    if subprocess.run([*_MODELS, "rebuild", "--help"], capture_output=True, check=False).returncode:
        raise Skipped("there is no `omakase models rebuild` yet")
    options = ["--config", str(deployment.config), *(["--exclude", excluded] if excluded else [])]
    run(deployment, "rebuild", model, *options)
