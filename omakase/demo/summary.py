"""How a run ended, for people and for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from omakase.core.evaluation import Estimate
from omakase.demo.frame import Frame
from omakase.demo.product import CONTROL, TREATMENT
from omakase.demo.scoreboard import RECENT_S, Score
from omakase.demo.view import account_lines, interval, lift_text, percent

NEXT = (
    "Next, your own shop: .venv/bin/omakase items import examples/items.ndjson --data-dir data\n"
    "and then .venv/bin/omakase up --config examples/storefront.yaml --data-dir data"
)


def print_summary(console: Console, frame: Frame, faults: Sequence[str]) -> None:
    """Tell what was learnt, how fast it was, and whether the books balance."""
    progress = frame.progress
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    facts.add_row(CONTROL, f"{interval(frame.control.ctr)}  ({frame.control.people:,} people)")
    facts.add_row(TREATMENT, f"{interval(frame.treatment.ctr)}  ({frame.treatment.people:,} people)")
    facts.add_row(f"last {RECENT_S:.0f} s", f"{interval(frame.recent.ctr)}  {TREATMENT} only")
    apart = "the intervals are apart" if frame.is_apart else "the intervals overlap: run longer"
    facts.add_row("lift", f"{lift_text(frame.lift)}; {apart}")
    reached = (
        f"{100 * frame.gain_reached:.0f} % of the way from {percent(frame.uniform_ctr)} to {percent(frame.best_ctr)}"
    )
    facts.add_row("hidden truth", f"{reached}, the best possible, by the chances of all that was shown")
    facts.add_row(
        "requests",
        f"{progress.requests:,} answered, {progress.fallbacks:,} by fallback, {progress.errors:,} errors; "
        f"p50 {progress.latency_p50_ms:.1f} ms, p99 {progress.latency_p99_ms:.1f} ms",
    )
    if frame.freshness is not None:
        fresh = frame.freshness
        facts.add_row("click → model", f"p50 {fresh.p50_s:.1f} s, p95 {fresh.p95_s:.1f} s over {fresh.clicks:,} clicks")
    for name, line in zip(("account", ""), account_lines(frame.account), strict=True):
        facts.add_row(name, line)
    facts.add_row("shoppers", f"{progress.accepted:,} events answered with 202, {progress.unknown:,} unknown")
    console.print(facts, highlight=False)
    if faults:
        console.print("The accounting does not balance:", style="bold red")
        for fault in faults:
            console.print(f"  {fault}", markup=False, highlight=False)
    else:
        console.print("The accounting balances to the event.", style="bold green")
    console.print(NEXT, highlight=False, soft_wrap=True)


def summary(frame: Frame, faults: Sequence[str]) -> dict[str, Any]:
    """The same for a script: JSON's types only."""
    return {
        "seed": frame.seed,
        "variants": {CONTROL: _score(frame.control), TREATMENT: _score(frame.treatment)},
        "recent": {TREATMENT: _score(frame.recent)},
        "lift": _estimate(frame.lift),
        "intervals_apart": frame.is_apart,
        "hidden": {
            "uniform_ctr": frame.uniform_ctr,
            "best_ctr": frame.best_ctr,
            "gain_reached": frame.gain_reached,
        },
        "shoppers": asdict(frame.progress),
        "freshness": asdict(frame.freshness) if frame.freshness else None,
        "account": asdict(frame.account),
        "balanced": not faults,
        "faults": list(faults),
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "ctr": _estimate(score.ctr),
        "people": score.people,
        "impressions": score.impressions,
        "clicks": score.clicks,
    }


def _estimate(estimate: Estimate | None) -> dict[str, float | None] | None:
    """JSON has no infinity: an unbounded side is null."""
    if estimate is None:
        return None
    high = estimate.high if estimate.high != float("inf") else None
    return {"value": estimate.value, "low": estimate.low, "high": high}
