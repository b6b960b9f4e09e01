"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

DataDir: TypeAlias = Annotated[
    Path,
    typer.Option("--data-dir", help="Where the service keeps everything.", envvar="OMAKASE_DATA_DIR", file_okay=False),
]
# For commands that only look: a slip must not make an empty directory and report that all is well there.
ExistingDataDir: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        help="Where the service keeps everything.",
        envvar="OMAKASE_DATA_DIR",
        exists=True,
        file_okay=False,
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for a script.")]
Config: TypeAlias = Annotated[
    Path, typer.Option("--config", help="The product's configuration, YAML.", exists=True, dir_okay=False)
]
