"""`omakase models list|show|rollback|resume`."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from omakase import models
from omakase.adapters import open_model_store
from omakase.cli.options import AsJson, ExistingDataDir
from omakase.core.posterior import Posterior
from omakase.deployment import Deployment
from omakase.models import Published
from omakase.ports.model_store import Generation, ModelStore

app = typer.Typer(help="The learnt models: look, roll back, resume.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A model's name, or name/schema.")]


@app.command("list")
def list_models(data_dir: ExistingDataDir, as_json: AsJson = False) -> None:
    """Every model with its newest generation.

    Example: `omakase models list --data-dir data`
    """
    store = _store(data_dir)
    found = [models.newest(store, key) for key in models.keys(store)]
    if as_json:
        print(json.dumps([_summary(published) for published in found], indent=2))
        return
    key = Column("model", no_wrap=True)
    table = Table(key, "newest", "examples", "click rate", "published, UTC", "state", box=box.SIMPLE_HEAD)
    for published in found:
        summary = _summary(published)
        state = "frozen" if summary["frozen"] else "learning"
        published_at = f"{datetime.fromtimestamp(published.snapshot.published_at, UTC):%d %b %H:%M:%S}"
        cells = (str(summary[cell]) for cell in ("model", "generation", "examples", "click_rate"))
        table.add_row(*cells, published_at, f"{state}: {summary['reason']}")
    Console().print(table if found else "no model was published yet")


@app.command()
def show(name: Name, data_dir: ExistingDataDir, as_json: AsJson = False, prior_precision: float = 1.0) -> None:
    """A model's weights with their uncertainty, the surest first; and the generations that are kept.

    Example: `omakase models show home --data-dir data`
    """
    store = _store(data_dir)
    published = models.newest(store, models.resolve(store, name))
    posterior = Posterior.of(published.snapshot.statistics, "click", prior_precision)
    deviation = np.sqrt((posterior.deviation_map() ** 2).sum(axis=1))
    order = np.argsort(-np.abs(posterior.mean) / deviation)
    weights = [
        {"coordinate": int(i), "mean": float(posterior.mean[i]), "deviation": float(deviation[i])} for i in order
    ]
    history = store.history(published.key)
    if as_json:
        print(json.dumps({**_summary(published), "history": history, "weights": weights}, indent=2))
        return
    console = Console()
    console.print(_summary(published))
    console.print(f"kept generations: {', '.join(map(str, history))}")
    table = Table("coordinate", "mean", "± deviation")
    for weight in weights[:20]:
        table.add_row(str(weight["coordinate"]), f"{weight['mean']:+.5f}", f"{weight['deviation']:.5f}")
    console.print(table)


@app.command()
def rollback(
    name: Name,
    data_dir: ExistingDataDir,
    to: Annotated[int | None, typer.Option(help="A kept generation; default: the one before the newest.")] = None,
) -> None:
    """Serve an older generation again, and freeze learning until `resume`.

    Example: `omakase models rollback home --to 41 --data-dir data`
    """
    store = _store(data_dir)
    key = models.resolve(store, name)
    published = models.roll_back(store, key, None if to is None else Generation(to), time.time())
    Console().print(f"{key} is now generation {published.generation} ({published.snapshot.reason}); learning is frozen")


@app.command()
def resume(name: Name, data_dir: ExistingDataDir) -> None:
    """Let a frozen model learn again; what waited meanwhile is learnt.

    Example: `omakase models resume home --data-dir data`
    """
    store = _store(data_dir)
    published = models.resume(store, models.resolve(store, name), time.time())
    Console().print(f"{published.key} learns again from generation {published.generation}")


def _store(data_dir: Path) -> ModelStore:
    return open_model_store(Deployment(data_dir, data_dir).uris.models)


def _summary(published: Published) -> dict[str, object]:
    snapshot = published.snapshot
    statistics = snapshot.statistics
    clicks = statistics.outcomes["click"].energy if "click" in statistics.outcomes else 0.0
    return {
        "model": published.key,
        "generation": published.generation,
        "examples": statistics.examples,
        "click_rate": round(clicks / statistics.weight, 5) if statistics.weight else None,
        "dimensions": statistics.dimensions,
        "published_at": datetime.fromtimestamp(snapshot.published_at, UTC).isoformat(timespec="seconds"),
        "frozen": snapshot.frozen,
        "reason": snapshot.reason,
        "sequences": dict(snapshot.sequences),
    }
