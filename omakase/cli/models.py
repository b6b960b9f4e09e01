"""`omakase models list|show|rollback|resume`; what makes models anew is in `omakase.cli.repairs`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from omakase import models
from omakase.adapters import open_catalogue_store, open_clock, open_model_store
from omakase.cli.options import AsJson, ExistingDataDir, OptionalConfig
from omakase.config import load_product
from omakase.configured import ConfiguredModel
from omakase.core.coordinates import columns, coordinates
from omakase.core.errors import InvalidInput, NotFound
from omakase.core.item_ids import UNKNOWN
from omakase.core.item_learner import PerItemLearner
from omakase.core.learners import LinearLearner
from omakase.core.logistic import LogisticLearner, posterior_of
from omakase.core.posterior import Posterior, Vector, factor_of
from omakase.core.suggestion import suggest
from omakase.deployment import Deployment
from omakase.models import Damaged, Published
from omakase.ports.model_store import Generation, ModelStore
from omakase.premises import Premises

app = typer.Typer(help="The learnt models: look, roll back, resume.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A model's name, or name/schema.")]


@app.command("list")
def list_models(data_dir: ExistingDataDir, as_json: AsJson = False) -> None:
    """Every model with its newest generation.

    Example: `omakase models list --data-dir data`
    """
    found = models.survey(_store(data_dir))
    if as_json:
        print(json.dumps([models.summary(one) for one in found], indent=2))
        return
    key = Column("model", no_wrap=True)
    table = Table(key, "newest", "examples", "click rate", "published, UTC", "state", box=box.SIMPLE_HEAD)
    for one in found:
        if isinstance(one, Damaged):
            table.add_row(
                one.key, str(one.generation), "", "", "", f"corrupt: {one.fault}; rebuild it, or roll it back"
            )
            continue
        summary = models.summary(one)
        state = "frozen" if summary["frozen"] else "learning"
        published_at = f"{datetime.fromtimestamp(one.snapshot.published_at, UTC):%d %b %H:%M:%S}"
        cells = (str(summary[cell]) for cell in ("model", "generation", "examples", "click_rate"))
        table.add_row(*cells, published_at, f"{state}: {summary['reason']}")
    Console().print(table if found else "no model was published yet")


@app.command()
def show(
    name: Name,
    data_dir: ExistingDataDir,
    as_json: AsJson = False,
    config: OptionalConfig = None,
    item: Annotated[str, typer.Option(help="An item's own weights, of a per-item model; needs --config.")] = "",
) -> None:
    """A model's weights with their uncertainty, the surest first; and the generations that are kept.

    With `--config` the coordinates have names, and the prior is the configured one; without it, the default. Weights
    of a logistic model are log odds.

    Example: `omakase models show home --config examples/storefront.yaml --data-dir data`
    """
    store = _store(data_dir)
    published = models.newest(store, models.resolve(store, name))
    if item:
        names, mean, deviation = _weights_of(item, published, config, Deployment(data_dir, data_dir))
    else:
        names, posterior = _names(published, config), _posterior(published, config)
        mean, deviation = posterior.mean, np.sqrt((posterior.deviation_map() ** 2).sum(axis=1))
    order = np.argsort(-np.abs(mean) / deviation)
    weights = [{"coordinate": names[i], "mean": float(mean[i]), "deviation": float(deviation[i])} for i in order]
    history = store.history(published.key)
    if as_json:
        print(json.dumps({**models.summary(published), "history": history, "weights": weights}, indent=2))
        return
    console = Console()
    console.print(models.summary(published))
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
    """Serve an older generation again, and freeze learning until `resume`. Also where the newest is corrupt.

    Example: `omakase models rollback home --to 41 --data-dir data`
    """
    store = _store(data_dir)
    key = models.resolve(store, name)
    deployment = Deployment(data_dir, data_dir)
    settled = Premises.in_directory(deployment, open_clock(deployment.clock_uri)).settled(key)
    published = models.roll_back(store, key, None if to is None else Generation(to), time.time(), settled)
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


def _weights_of(
    item_id: str, published: Published, config: Path | None, deployment: Deployment
) -> tuple[Sequence[str | int], Vector, Vector]:
    """Names, means and deviations. Raises: InvalidInput if nothing has such weights; NotFound without such an item."""
    model = None if config is None else _configured(published, config)
    if model is None or not isinstance(model.learner, PerItemLearner):
        raise InvalidInput("only a per-item model has weights for an item: give its configuration with --config")
    catalogue = open_catalogue_store(deployment.uris.catalogue).load()
    (place,) = catalogue.places([item_id]).tolist()
    if place == UNKNOWN:
        raise NotFound(f"the catalogue has no item {item_id!r}{suggest(item_id, catalogue.item_ids)}")
    factor = model.spec.encode_item(catalogue.item(place).metadata)
    scorer = model.learner.believe(published.snapshot.statistics).over([item_id], factor[np.newaxis])
    return ["1", *columns(model.spec.context)], *scorer.weights(0)


def _posterior(published: Published, config: Path | None) -> Posterior:
    """What is believed of clicks. Raises: Corrupt."""
    sums, name = published.snapshot.statistics, published.key.rpartition("/")[0]
    learner = None if config is None else ConfiguredModel.of(load_product(config), name).learner
    if sums.is_logit:
        logistic = learner if isinstance(learner, LogisticLearner) else LogisticLearner(0, 0)
        return posterior_of(sums, logistic.prior_precision)
    linear = learner if isinstance(learner, LinearLearner) else LinearLearner(0, 0)
    prior = learner.prior_precision if isinstance(learner, PerItemLearner) else linear.prior
    return Posterior.of(sums, "click", prior, factor_of(sums, prior))


def _names(published: Published, config: Path | None) -> Sequence[str | int]:
    """What to call each coordinate. Raises: InvalidInput if the configuration is of other features."""
    if config is None:
        return range(published.snapshot.statistics.dimensions)
    return coordinates(_configured(published, config).spec)


def _configured(published: Published, config: Path) -> ConfiguredModel:
    model = ConfiguredModel.of(load_product(config), published.key.rpartition("/")[0])
    if model.key != published.key:
        raise InvalidInput(f"the configuration's features make {model.key}, not {published.key}")
    return model
