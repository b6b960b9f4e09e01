"""Options that several commands have."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from omakase.core.errors import InvalidInput

DataDir: TypeAlias = Annotated[
    Path,
    typer.Option("--data-dir", help="Where the service keeps everything.", envvar="OMAKASE_DATA_DIR", file_okay=False),
]


def _with_keys(data_dir: Path | None) -> Path | None:
    if data_dir is not None and not (data_dir / "keys.yaml").exists():
        raise typer.BadParameter(f"{data_dir} is no data directory of omakase: it has no keys.yaml")
    return data_dir


# For commands that only look: a slip must not make an empty directory and report that all is well there.
ExistingDataDir: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        help="Where the service keeps everything.",
        envvar="OMAKASE_DATA_DIR",
        exists=True,
        file_okay=False,
        callback=_with_keys,
    ),
]
# For commands that find what a cluster shares by the environment.
DataDirIfAny: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Where the service keeps everything. Without it, the OMAKASE_ variables say where all is.",
        envvar="OMAKASE_DATA_DIR",
        exists=True,
        file_okay=False,
        callback=_with_keys,
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for a script.")]
Config: TypeAlias = Annotated[
    Path, typer.Option("--config", help="The product's configuration, YAML.", exists=True, dir_okay=False)
]
OptionalConfig: TypeAlias = Annotated[
    Path | None, typer.Option("--config", help="The product's configuration, YAML.", exists=True, dir_okay=False)
]


def moment_of(option: str, text: str) -> float:
    """A moment as people write it; without a time zone, UTC. Units: Unix seconds. Raises: InvalidInput."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{option} {text!r} must be ISO 8601, such as 2026-11-20T09:00") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
