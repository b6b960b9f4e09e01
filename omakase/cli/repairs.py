"""`omakase models rebuild|warm-start`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import track

from omakase import models
from omakase.adapters import open_catalogue_store, open_model_store, open_training_state, open_warehouse
from omakase.cli.models import Name
from omakase.cli.options import Config, ExistingDataDir, OptionalConfig, moment_of
from omakase.config import load_product
from omakase.configured import ConfiguredModel
from omakase.core.errors import InvalidInput, NotFound
from omakase.deployment import Deployment
from omakase.ports.model_store import ModelKey, ModelStore
from omakase.repairs.history import Choice, Progress
from omakase.repairs.rebuilding import Rebuilder, Rebuilt

NEW = "new"


def rebuild(
    name: Name,
    data_dir: ExistingDataDir,
    since: Annotated[str | None, typer.Option("--from", help="Slates served from then on; ISO 8601, UTC.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Slates served before then; ISO 8601, UTC.")] = None,
    exclude: Annotated[str, typer.Option(help="SQL over deliveries' columns: leave those out.")] = "",
    schema: Annotated[str, typer.Option(help="`new`, or its id: add to the model of the --config's features.")] = "",
    config: OptionalConfig = None,
    wait: Annotated[float, typer.Option(help="So many seconds at most for examples on their way.", min=0.0)] = 300.0,
    ended: Annotated[list[str] | None, typer.Option(help="A stream's shard whose job has ended; repeatable.")] = None,
) -> None:
    """Make a model anew from the examples in the warehouse; the trainer, or a stream, may go on meanwhile.

    With `--schema new`, add what the old model learnt to the one of the configuration's features, made from the facts
    that were logged.

    Example: `omakase models rebuild home --exclude "variant = 'test'" --data-dir data`
    """
    rebuilder = replace(_rebuilder(Deployment(data_dir, data_dir)), ended=tuple(ended or ()), patience_s=wait)
    model = None if config is None else ConfiguredModel.of(load_product(config), name.partition("/")[0])
    choice = Choice(_time("--from", since, -1.0), _time("--to", until, 1.0), exclude)
    with _progress() as on_rows:
        if schema:
            wanted = _wanted(model, schema)
            old = models.resolve(rebuilder.store, name, besides=wanted.key)
            rebuilt = rebuilder.carry_over(old, wanted, choice, time.time(), on_rows)
        else:
            key = _key(rebuilder.store, name, model)
            rebuilt = rebuilder.rebuild(key, choice, model, time.time(), on_rows)
    _tell(rebuilt)


def start_warm(
    name: Name,
    log: Annotated[Path, typer.Option("--from", help="A log: JSON lines, or CSV.", exists=True, dir_okay=False)],
    config: Config,
    data_dir: ExistingDataDir,
    items: Annotated[
        Path | None, typer.Option("--items", help="The items' features, CSV; without it, the catalogue.", exists=True)
    ] = None,
) -> None:
    """Let a model learn from an old log, before its first request or later; from one log once.

    A line is a JSON object: `clicked` (0 or 1), `at`, `context`, and `metadata` or the `item_id` of a known item; or
    `reward` and `weight` too. The CSV is that of `omakase replay`.

    Example: `omakase models warm-start home --from old.ndjson --config examples/storefront.yaml --data-dir data`
    """
    from omakase.repairs import warm_start  # with it comes what reads logs, which takes a second
    from omakase.replay.items import read_items

    uris, product = Deployment(config, data_dir).uris, load_product(config)
    model = ConfiguredModel.of(product, name)
    known = open_catalogue_store(uris.catalogue).load() if items is None else read_items(items)
    reader = warm_start.LogReader(product, model, {item.item_id: item for item in known})
    shown = reader.lines(log) if warm_start.is_json_lines(log) else reader.rows(log)
    console = Console(stderr=True)
    rows = track(shown, f"Reading {log.name}", console=console, transient=True, disable=not console.is_terminal)
    store, name_of_log = open_model_store(uris.models), warm_start.log_name(log)
    published = warm_start.warm_start(store, model, name_of_log, rows, time.time())
    _tell(Rebuilt(published, published.snapshot.sequences[name_of_log], ()))


def _rebuilder(deployment: Deployment) -> Rebuilder:
    uris, state = deployment.uris, open_training_state(deployment.uris.training)
    shard = deployment.shard(state.incarnation())
    return Rebuilder(open_model_store(uris.models), state, open_warehouse(uris.warehouse), shard)


def _wanted(model: ConfiguredModel | None, schema: str) -> ConfiguredModel:
    if model is None:
        raise InvalidInput("--schema needs --config, whose features are the new ones")
    if schema not in (NEW, model.spec.schema_id):
        raise InvalidInput(f"the configuration's features make the schema {model.spec.schema_id}, not {schema!r}")
    return model


def _key(store: ModelStore, name: str, model: ConfiguredModel | None) -> ModelKey:
    """Also of a model that the store has lost: then it takes the configuration, or the whole key."""
    if model is not None and "/" not in name:
        return model.key
    try:
        return models.resolve(store, name)
    except NotFound:
        if "/" in name:
            return ModelKey(name)
        raise


def _tell(rebuilt: Rebuilt) -> None:
    console = Console(soft_wrap=True)
    for warning in rebuilt.warnings:
        console.print(f"note: {warning}", style="yellow", markup=False, highlight=False)
    published = rebuilt.published
    if published is None:
        console.print("there is nothing new to add")
        return
    statistics, key = published.snapshot.statistics, published.key
    console.print(
        f"{rebuilt.rows} rows read; {key} is now generation {published.generation}, {statistics.examples} examples"
    )
    if published.snapshot.frozen:
        console.print(f"it is frozen ({published.snapshot.reason}): omakase models resume {key}")


@contextmanager
def _progress() -> Iterator[Progress]:
    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Refolding", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _time(option: str, text: str | None, infinity: float) -> float:
    return infinity * float("inf") if text is None else moment_of(option, text)
