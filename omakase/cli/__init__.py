"""The command line: `omakase --help`."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from omakase import __version__
from omakase.cli import (
    batch,
    cloud,
    demo,
    events,
    experiments,
    follow,
    imports,
    keys,
    models,
    repairs,
    replay,
    results,
    up,
    users,
    validate,
)
from omakase.core.errors import InvalidConfig, InvalidInput, OmakaseError

app = typer.Typer(
    help="Omakase: a contextual-bandit recommendation service that learns within seconds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("replay")(replay.replay)
app.command("validate")(validate.validate)
app.command("follow")(follow.follow)
app.command("batch")(batch.batch)
app.add_typer(imports.items, name="items")
app.add_typer(imports.contexts, name="contexts")
models.app.command("rebuild")(repairs.rebuild)
models.app.command("warm-start")(repairs.start_warm)
app.add_typer(models.app, name="models")
app.add_typer(events.app, name="events")
experiments.app.command("results")(results.results)
app.add_typer(experiments.app, name="experiments")
app.add_typer(users.app, name="users")
app.add_typer(keys.app, name="keys")
app.add_typer(cloud.app, name="cloud")

# What a shell sees of each error; the first match counts.
EXIT_CODES: tuple[tuple[type[OmakaseError], int], ...] = ((InvalidInput, 2), (OmakaseError, 3))


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        print(f"omakase {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point. An error of ours, or of the machine, is a message, never a traceback."""
    try:
        app()
    except (OmakaseError, OSError) as error:
        lines = error.faults if isinstance(error, InvalidConfig) else [str(error)]
        console = Console(stderr=True, soft_wrap=True)
        for line in lines:
            console.print("error:", style="bold red", end=" ")
            console.print(line, markup=False, highlight=False)
        sys.exit(next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 3))
