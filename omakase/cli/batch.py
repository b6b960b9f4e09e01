"""`omakase batch`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from omakase.cli.options import OptionalConfig
from omakase.core.errors import InvalidInput
from omakase.deployment import Deployment
from omakase.settings import PREFIX


def batch(
    name: Annotated[str, typer.Argument(help="The job.")],
    date: Annotated[str | None, typer.Option("--date", help="A day, UTC: make anew what belongs to it.")] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            help="Where the service keeps everything. Without it, the OMAKASE_ variables of the batch jobs say it.",
            envvar="OMAKASE_DATA_DIR",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    config: OptionalConfig = None,
) -> None:
    """Do one batch job once, by hand or as a CronJob. It may run beside the services, and again.

    - `aggregate`: what became of deliveries, by the hour; with `--date`, all hours of that day, whatever came.
    - `context-free`: the counts that popularity and Thompson sampling without a model rank by, from all aggregates.
    - `examination`: how likely positions are looked at, from the last seven days, where a placement asks for it.
    - `load`: what is on the bus into the warehouse. `trim`: what everybody has read off the bus.
    - `compact`: many files of the warehouse into few. `retain`: what is past its retention, out of it.
    - `forget`: rows of people who were forgotten before these came into the warehouse.

    Exits with 2 if something is to be changed first, and with 3 if it may be tried again as it is.

    Example: `omakase batch aggregate --date 2026-11-20 --data-dir data`
    """
    environ = dict(os.environ)
    if data_dir is not None:
        before = data_dir / "configuration.yaml"
        if config is None and not before.exists():
            raise InvalidInput(f"{data_dir} has no configuration.yaml, for nothing was started there: give --config")
        environ = {key: value for key, value in environ.items() if not key.startswith(PREFIX)}
        environ |= Deployment(config or before, data_dir).batch(None).to_environ()
    elif f"{PREFIX}WAREHOUSE" not in environ:
        raise InvalidInput(
            f"give --data-dir, or set {PREFIX}WAREHOUSE and the other variables of batch, see docs/configuration.md"
        )
    elif config is not None:
        environ |= {f"{PREFIX}CONFIG": str(config.absolute())}
    arguments = [name] if date is None else [name, f"--date={date}"]
    # In its place, so that whoever ends this ends the job.
    os.execve(sys.executable, [sys.executable, "-P", "-m", "batch", *arguments], environ)  # noqa: S606
