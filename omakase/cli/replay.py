"""`omakase replay`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from omakase.cli.options import AsJson


def replay(
    log: Annotated[Path, typer.Argument(help="A logged bandit log, CSV, plain or gzipped.", exists=True)],
    items: Annotated[Path, typer.Option("--items", help="The items' features, CSV.", exists=True, dir_okay=False)],
    serve_rows: Annotated[int | None, typer.Option(help="Send only the first N rows to the services.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Seed of the intervals.", min=0)] = 1,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the data here instead of throwing it away.")] = None,
    as_json: AsJson = False,
) -> None:
    """Replay a log in the Open Bandit Dataset's format through the running services, on the log's own clock.

    Prints the logged CTR, what matched, and IPS and SNIPS of each policy with 95 % intervals.

    Example: `omakase replay random_men.csv.gz --items item_context_men.csv`
    """
    from omakase.replay import replay as run

    report = run(log, items, serve_rows=serve_rows, seed=seed, data_dir=data_dir, progress=not as_json)
    if as_json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        Console().print(report)
