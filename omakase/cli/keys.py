"""`omakase keys`."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from omakase.api_keys import MAX_RATE, ApiKey, Scope
from omakase.cli.options import AsJson, DataDir, ExistingDataDir
from omakase.deployment import Deployment
from omakase.issuing import create_key, revoke_key
from omakase.keys import create_keys, load_api_keys

app = typer.Typer(help="API keys: of storefronts, of the shop's own servers, of administrators.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Whose key it is, such as `orders`.")]


@app.command()
def create(
    name: Name,
    scope: Annotated[Scope, typer.Option(help="What it is for.", case_sensitive=False)],
    data_dir: DataDir,
    placement: Annotated[list[str] | None, typer.Option(help="For this placement only; may be repeated.")] = None,
    rate: Annotated[float | None, typer.Option(help="Requests a second at most.", min=1, max=MAX_RATE)] = None,
    burst: Annotated[float | None, typer.Option(help="How many at once; the rate if absent.", min=1)] = None,
) -> None:
    """Make a key and print it: this once, for only its hash is kept. A running service knows it at once.

    To replace a key without a gap make another one, give it to whoever has the old one, then revoke that.

    Example: `omakase keys create orders --scope server --data-dir data`
    """
    if placement and scope is not Scope.STOREFRONT:
        raise typer.BadParameter("only a key of scope storefront is for placements", param_hint="--placement")
    if burst is not None and rate is None:
        raise typer.BadParameter("needs --rate", param_hint="--burst")
    path = Deployment(data_dir, data_dir).keys
    create_keys(path)
    print(create_key(path, name, scope, placements=placement or (), rate=rate, burst=burst))
    Console(stderr=True).print(f"its hash is in {path}; omakase keys revoke {name} ends it", soft_wrap=True)


@app.command(name="list")
def list_keys(data_dir: ExistingDataDir, as_json: AsJson = False) -> None:
    """Show which keys there are, revoked ones too. None of them can be shown again.

    Example: `omakase keys list --data-dir data`
    """
    keys = load_api_keys(Deployment(data_dir, data_dir).keys).values()
    if as_json:
        print(json.dumps([_told(key) for key in keys]))
        return
    table = Table("name", "scope", "placements", "requests/s", "burst", "")
    for key in keys:
        limits = ("", "") if key.rate is None else (f"{key.rate:g}", f"{key.burst:g}")
        placements = "all" if key.placements is None else ", ".join(sorted(key.placements))
        table.add_row(
            key.name,
            key.scope,
            placements if key.scope is Scope.STOREFRONT else "",
            *limits,
            "revoked" if key.is_revoked else "",
        )
    Console().print(table if table.rows else "there is no API key")


@app.command()
def revoke(name: Name, data_dir: ExistingDataDir) -> None:
    """End a key. Running services refuse it from then on; its line stays, so that they can say why.

    Example: `omakase keys revoke orders --data-dir data`
    """
    revoke_key(Deployment(data_dir, data_dir).keys, name)
    Console(stderr=True).print(f"{name} is revoked")


def _told(key: ApiKey) -> dict[str, object]:
    return {
        "name": key.name,
        "scope": key.scope,
        "placements": None if key.placements is None else sorted(key.placements),
        "rate": key.rate,
        "burst": key.burst if key.rate is not None else None,
        "revoked": key.is_revoked,
    }
