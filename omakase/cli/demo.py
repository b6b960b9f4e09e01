"""`omakase demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omakase.cli.options import AsJson


def demo(
    seconds: Annotated[float, typer.Option(help="How long shoppers come.", min=1, max=86_400)] = 120,
    seed: Annotated[int, typer.Option(help="Which hidden tastes the shoppers have.", min=0)] = 1,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the data here instead of throwing it away.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole service with simulated shoppers and watch it learn what they like.

    Exit code 1 if the accounting does not balance to the event.

    Example: `omakase demo --seconds 60 --seed 7`
    """
    from omakase.demo.run import run_demo

    raise typer.Exit(run_demo(seconds, seed, data_dir, as_json))
