"""`omakase experiments results`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from omakase.adapters import open_clock, open_model_store, open_warehouse
from omakase.cli.options import AsJson, Config, ExistingDataDir, moment_of
from omakase.config import load_product
from omakase.core.evaluation import Estimate
from omakase.core.experiment_results import METRICS, Difference, Metric
from omakase.deployment import Deployment
from omakase.groups import Group, chosen, groups_of
from omakase.results import GroupResult, read_results
from omakase.stretches import ledgers


def results(
    data_dir: ExistingDataDir,
    config: Config,
    placement: Annotated[str, typer.Option(help="Only what was shown there.")] = "",
    experiment: Annotated[str, typer.Option(help="Only this experiment.")] = "",
    since: Annotated[
        str | None, typer.Option(help="Slates served from then on; ISO 8601, UTC. Default: since shares last changed.")
    ] = None,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="Differences that hold however often one looks; wider.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What each variant earned per person, with 95 % intervals, and whether people are where they should be.

    Exit code 1 if they are not: then no difference means anything.

    Example: `omakase experiments results --config examples/storefront.yaml --data-dir data`
    """
    product, deployment = load_product(config), Deployment(config, data_dir)
    uris = deployment.uris
    start = None if since is None else moment_of("--since", since)
    known = list(ledgers(open_model_store(uris.models)))
    groups = groups_of(product, known, open_clock(deployment.clock_uri).now(), start)
    found = read_results(
        open_warehouse(uris.warehouse),
        chosen(groups, placement, experiment),
        placement=placement,
        is_always_valid=sequential,
    )
    if as_json:
        print(json.dumps([_document(one) for one in found], indent=2))
    else:
        _print(found, product.currency or "")
    raise typer.Exit(1 if any(one.ratio.is_off for one in found) else 0)


def _print(found: Sequence[GroupResult], currency: str) -> None:
    console = Console(soft_wrap=True)
    for one in found:
        if not any(arm.people for arm in one.arms.values()):
            console.print(f"{_title(one.group)}: nobody yet", style="dim", highlight=False)
            continue
        console.print(_table(one, currency))
        for style, line in _remarks(one):
            console.print(line, style=style, markup=False, highlight=False)


def _table(one: GroupResult, currency: str) -> Table:
    table = Table(title=_title(one.group), box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.add_column("variant", no_wrap=True)
    for heading in ("people\nimpressions", "CTR\n", "CVR\n", f"value per\nperson {currency}".rstrip()):
        table.add_column(heading, justify="right")
    for name, arm in one.arms.items():
        cells = (_told(metric, arm.metrics[metric]) for metric in METRICS)
        table.add_row(name, f"{arm.people:,}\n{arm.impressions:,}", *cells)
        if name in one.differences:
            found = one.differences[name]
            table.add_row("  difference", "", *(_difference(metric, found[metric]) for metric in METRICS))
    return table


def _told(metric: Metric, estimate: Estimate) -> str:
    if not estimate.n:
        return ""
    return _lines(estimate, _money if metric == "value" else "{:.3%}".format)


def _difference(metric: Metric, found: Difference) -> str:
    """In proportion to the control where that can be told; in bold where it is not 0."""
    if found.relative is not None:
        text = _lines(found.relative, "{:+.1%}".format)
    elif found.absolute is not None:
        points = "{:+.3f} points".format
        text = _lines(found.absolute, _money if metric == "value" else lambda share: points(100 * share))
    else:
        return "too few people"
    return f"[bold]{text}[/bold]" if found.is_significant else text


def _lines(estimate: Estimate, spell: Callable[[float], str]) -> str:
    """The number, and its interval below, the unit once."""
    high = "?" if math.isinf(estimate.high) else spell(estimate.high)
    return f"{spell(estimate.value)}\n{spell(estimate.low).rstrip('%')} to {high}"


def _money(value: float) -> str:
    size = abs(value)
    return f"{value:,.{4 if size < 1 else 2 if size < 100 else 0}f}"


def _remarks(one: GroupResult) -> Iterator[tuple[str, str]]:
    """Style and text of what is to be known of the numbers, the worst first."""
    ratio, group = one.ratio, one.group
    if ratio.is_off:
        arm, total = ratio.worst, sum(ratio.people.values())
        is_share = f"{arm} has {ratio.people[arm] / total:.2%} of the people where {ratio.expected[arm] / total:.2%}"
        yield (
            "bold red",
            f"sample ratio mismatch (p = {ratio.p_value:.1g}): {is_share} were dealt to it. Who is counted depends on "
            "the variant: no difference means anything until that is explained.",
        )
    elif ratio.p_value is not None:
        yield "", f"sample ratio: as dealt (p = {ratio.p_value:.2g})"
    elif not group.is_dealt_alike:
        yield (
            "yellow",
            f"shares changed at {_spelt(group.dealt_since)}: people from before and after are mixed here, and the "
            "sample ratio is not checked. Leave out --since to look at the time since.",
        )
    elif len(one.arms) > 1:
        yield "", "sample ratio: too few people to tell"
    if one.crossing:
        yield "yellow", f"{one.crossing:,} people were seen in several variants; they count in their first"
    if one.users:
        yield "yellow", f"{one.users:,} users of several devices were in different variants with them"


def _title(group: Group) -> str:
    kinds = {
        "experiment": f"experiment {group.name}",
        "share": f"placement {group.name}, in no experiment",
        "holdout": f"placement {group.name}, held out of all experiments",
    }
    return f"{kinds[group.kind]}{f', since {_spelt(group.since)}' if group.since else ''}"


def _spelt(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"


def _document(one: GroupResult) -> dict[str, Any]:
    group, ratio = one.group, one.ratio
    return {
        "kind": group.kind,
        "name": group.name,
        "since": group.since,
        "variants": {
            name: {
                "people": arm.people,
                "impressions": arm.impressions,
                "clicks": arm.clicks,
                "converted": arm.converted,
                "value": arm.value,
                "metrics": {metric: _interval(arm.metrics[metric]) for metric in METRICS},
                "differences": {
                    metric: {
                        "absolute": _interval(found.absolute),
                        "relative": _interval(found.relative),
                        "significant": found.is_significant,
                    }
                    for metric, found in one.differences.get(name, {}).items()
                },
            }
            for name, arm in one.arms.items()
        },
        "sample_ratio": {"p_value": ratio.p_value, "off": ratio.is_off, "expected": dict(ratio.expected)},
        "crossing_people": one.crossing,
        "crossing_users": one.users,
    }


def _interval(estimate: Estimate | None) -> dict[str, float | None] | None:
    if estimate is None:
        return None
    ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: number if math.isfinite(number) else None for name, number in ends.items()}
