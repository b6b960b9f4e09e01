"""`omakase users forget`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from omakase.adapters import open_clock
from omakase.cli.options import DataDirIfAny
from omakase.core.errors import InvalidConfig, InvalidInput
from omakase.deployment import Deployment
from omakase.keys import load_keys
from omakase.premises import Premises
from omakase.privacy.forgetting import Places
from omakase.settings import BackofficeSettings

app = typer.Typer(help="What is kept of people.", no_args_is_help=True)


@app.callback()
def _users() -> None:
    """Keep `forget` a command of its own."""


@app.command()
def forget(
    data_dir: DataDirIfAny = None,
    user_id: Annotated[str | None, typer.Argument(help="As recommendations were asked for.")] = None,
    anonymous_id: Annotated[str | None, typer.Option("--anonymous-id", help="A device or visit of theirs.")] = None,
) -> None:
    """Forget a person: nothing that is kept says any more what was shown to them or what they did.

    What they did within the reward window is unlearnt; what is older stays in the models' sums, which hold no person,
    until `omakase models rebuild`. Works while the services run. Idempotent: repeat it after a failure.

    Example: `omakase users forget u1 --data-dir data`
    """
    named = [("user", user_id), ("anonymous", anonymous_id)]
    given = [(kind, name) for kind, name in named if name]
    if not given:
        raise InvalidInput("name somebody: give a USER_ID, or --anonymous-id, or both")
    premises, keys = _in_cluster() if data_dir is None else _in(Deployment(data_dir, data_dir))
    keyring = load_keys(keys)
    people = [keyring.pseudonym(kind, name) for kind, name in given]  # type: ignore[arg-type]
    table = Table("place", "reached", title="Forgotten")
    for place, count in premises.forget(people).items():
        table.add_row(place, str(count))
    Console().print(table)


def _in(deployment: Deployment) -> tuple[Premises, Path]:
    return Premises.in_directory(deployment, open_clock(deployment.clock_uri)), deployment.keys


def _in_cluster() -> tuple[Premises, Path]:
    """By the environment. Raises: InvalidInput with what is missing in it."""
    try:
        told = BackofficeSettings.from_environ(os.environ)
    except InvalidConfig as error:
        faults = "; ".join(error.faults)
        raise InvalidInput(f"give --data-dir, or the variables of the back office: {faults}") from error
    places = Places(told.contexts, told.deliveries, told.bus, told.warehouse)
    return Premises(places, open_clock(told.clock)), Path(told.keys)
