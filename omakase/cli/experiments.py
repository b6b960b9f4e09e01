"""`omakase experiments list|assign|override`; what they earned is in `omakase.cli.results`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from omakase.adapters import open_clock, open_model_store
from omakase.allocations import Allocations, arm_name, in_force, settled
from omakase.cli.options import AsJson, Config, ExistingDataDir
from omakase.config import Product, load_product
from omakase.config.experiments import Experiment
from omakase.core import overrides
from omakase.core.allocation import BUCKETS
from omakase.core.errors import InvalidInput, NotFound
from omakase.core.ids import Keyring, Pseudonym
from omakase.core.suggestion import suggest
from omakase.core.values import Facts, facts_of
from omakase.deployment import Deployment
from omakase.keys import load_keys
from omakase.splits import split_of

app = typer.Typer(help="Experiments: who is in which, and what they earned.", no_args_is_help=True)

_MAX_FOR_S = 7 * 86_400

IsAnonymous: TypeAlias = Annotated[
    bool, typer.Option("--anonymous/--user", help="Which of the ids it is; requests with both go by the anonymous one.")
]


@app.command("list")
def list_experiments(data_dir: ExistingDataDir, config: Config, as_json: AsJson = False) -> None:
    """Every experiment with its layer, its variants and how much of the layer they have now.

    Example: `omakase experiments list --config examples/storefront.yaml --data-dir data`
    """
    product, deployment = load_product(config), Deployment(config, data_dir)
    now = open_clock(deployment.clock_uri).now()
    found = in_force(open_model_store(deployment.uris.models)) or Allocations()
    summaries = [_summary(product, name, one, found, now) for name, one in product.experiments.items()]
    if as_json:
        print(json.dumps(summaries, indent=2))
        return
    table = Table("experiment", "layer", "variant", "now", "in full", "next", "target", box=box.SIMPLE_HEAD)
    for summary in summaries:
        told = [str(summary[cell]) for cell in ("experiment", "layer", "next", "target")]
        for name, (share, full) in summary["variants"].items():
            table.add_row(*told[:2], name, _percent(share), _percent(full), *told[2:])
            told = [""] * len(told)
    Console().print(table if summaries else "the configuration has no experiments")


@app.command()
def assign(
    person: Annotated[str, typer.Argument(metavar="ID", help="As recommendations are asked for.")],
    data_dir: ExistingDataDir,
    config: Config,
    placement: Annotated[str, typer.Option(help="Only there.")] = "",
    context: Annotated[list[str] | None, typer.Option(help="A fact of the request, such as country=JP.")] = None,
    is_anonymous: IsAnonymous = True,
    as_json: AsJson = False,
) -> None:
    """What a person sees now at each placement, and step by step why.

    Example: `omakase experiments assign a1 --context device=ios --config examples/storefront.yaml --data-dir data`
    """
    product, deployment = load_product(config), Deployment(config, data_dir)
    unit, facts = _unit(load_keys(deployment.keys), person, is_anonymous), _facts(context or [])
    now = open_clock(deployment.clock_uri).now()
    found = in_force(open_model_store(deployment.uris.models))
    own = settled(found or Allocations(), product, now)
    placements = [_known(placement, product)] if placement else list(product.placements)
    told = [_assignment(product, name, own, unit, facts, now) for name in placements]
    if as_json:
        print(json.dumps(told, indent=2))
        return
    console = Console(soft_wrap=True)
    if own != found:
        console.print("No gateway has loaded this configuration yet: this is what it will make of who is where.")
    console.print(f"{person} is {unit} behind the gateway", markup=False, highlight=False)
    for one in told:
        of = f" of experiment {one['experiment']}" if one["experiment"] else ""
        console.print(f"[bold]{one['placement']}[/]: {one['variant']}{of}, by {one['assigned_by']}", highlight=False)
        for step in one["because"]:
            console.print(f"  {step}", markup=False, highlight=False)


@app.command()
def override(
    placement: Annotated[str, typer.Argument(help="Where.")],
    variant: Annotated[str, typer.Argument(help="One of its own, or of an experiment that runs there.")],
    person: Annotated[str, typer.Option(help="Whose requests, by id.")],
    data_dir: ExistingDataDir,
    config: Config,
    for_s: Annotated[int, typer.Option("--for", min=1, max=_MAX_FOR_S, help="Seconds until it expires.")] = 3600,
    is_anonymous: IsAnonymous = True,
) -> None:
    """A signed header that shows one variant to one person for a while; nothing is learnt from what they do with it.

    Example: `omakase experiments override home-top lively --person a1 --config shop.yaml --data-dir data`
    """
    product, deployment = load_product(config), Deployment(config, data_dir)
    shown = product.arms_at(_known(placement, product)).keys() - product.placements[placement].shadows.keys()
    if variant not in shown:
        raise NotFound(f"placement {placement!r} shows no variant {variant!r}{suggest(variant, shown)}")
    keyring = load_keys(deployment.keys)
    expires_at = int(open_clock(deployment.clock_uri).now()) + for_s
    signed = overrides.issue(keyring, placement, variant, _unit(keyring, person, is_anonymous), expires_at)
    print(f"Omakase-Override: {signed}")


def _assignment(
    product: Product, placement: str, own: Allocations, unit: Pseudonym, context: Facts, now: float
) -> dict[str, Any]:
    split = split_of(product, placement, own)
    assigned = split.assign(unit, context, now)
    return {
        "placement": placement,
        "variant": assigned.variant,
        "experiment": assigned.experiment,
        "assigned_by": assigned.assigned_by,
        "because": list(split.explain(unit, context, now)),
    }


def _summary(product: Product, name: str, experiment: Experiment, found: Allocations, now: float) -> dict[str, Any]:
    layer = product.layer_of(experiment.placements[0])
    shares = found.layers[layer].at(now).shares if layer in found.layers else {}
    steps = [step for step in experiment.ramp or () if step.at.timestamp() > now]
    return {
        "experiment": name,
        "layer": layer,
        "placements": ", ".join(experiment.placements),
        "target": ", ".join(f"{fact}: {' or '.join(map(str, of))}" for fact, of in experiment.target.items()),
        "variants": {
            variant: (shares.get(arm_name(name, variant), 0), one.share) for variant, one in experiment.variants.items()
        },
        "next": f"{_percent(steps[0].share)} of that, {_utc(steps[0].at)}" if steps else "",
    }


def _facts(written: Sequence[str]) -> Facts:
    """Raises: InvalidInput."""
    raw: dict[str, object] = {}
    for fact in written:
        name, is_there, value = fact.partition("=")
        if not name or not is_there:
            raise InvalidInput(f"--context {fact!r}: write a fact and its value, such as country=JP")
        try:
            raw[name] = json.loads(value)
        except ValueError:
            raw[name] = value
    return facts_of(raw)


def _known(placement: str, product: Product) -> str:
    if placement not in product.placements:
        raise NotFound(f"the configuration has no placement {placement!r}{suggest(placement, product.placements)}")
    return placement


def _unit(keyring: Keyring, person: str, is_anonymous: bool) -> Pseudonym:
    return keyring.pseudonym("anonymous" if is_anonymous else "user", person)


def _percent(share: int) -> str:
    return f"{100 * share / BUCKETS:g} %"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
