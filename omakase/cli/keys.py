"""`omakase keys add`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from omakase.cli.options import DataDir
from omakase.deployment import Deployment
from omakase.keys import create_keys
from omakase.server_keys import add_server_key

app = typer.Typer(help="Keys of the shop's own servers.", no_args_is_help=True)


@app.callback()
def _keys() -> None:
    """Keep `add` a command of its own."""


@app.command()
def add(name: Annotated[str, typer.Argument(help="Whose key it is, such as `orders`.")], data_dir: DataDir) -> None:
    """Make a server key and print it: this once, for only its hash is kept. A running service knows it at once.

    Example: `omakase keys add orders --data-dir data`
    """
    path = Deployment(data_dir, data_dir).keys
    create_keys(path)
    print(add_server_key(path, name))
    Console(stderr=True).print(f"the hash is in {path}; remove its line to revoke the key", soft_wrap=True)
