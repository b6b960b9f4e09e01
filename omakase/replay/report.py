"""What a replay found: one line per policy, and whether they can be told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from omakase.core.evaluation import Estimate, clustered_rate, ips, is_too_close_to_rank, snips
from omakase.replay.driver import Served
from omakase.replay.log import Log
from omakase.replay.product import LEARNT

TOO_FEW = "too few clicks to rank policies"
LOGGED, UNIFORM = "logged", "uniform"


@dataclass(frozen=True, slots=True)
class Line:
    """One policy, estimated one way.

    `how` is logged, exact (from known propensities) or served (from matches). `matched` rows are those that tell of
    the policy. ctr is their plain click rate, which leans towards what the logged policy liked; ips and snips do not.
    An exact line has none: all rows tell of it, and their click rate is the logged policy's. model_updates: how often
    another model was swapped in while it served; at 0 a learning policy served from its prior throughout.
    """

    policy: str
    how: str
    rows: int
    matched: int
    clicks: int
    ctr: Estimate | None
    ips: Estimate
    snips: Estimate
    fallbacks: int = 0
    model_updates: int = 0


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """Everything `omakase replay` prints.

    Units: first_at and last_at in Unix seconds, of the log. mean_weight is the uniform policy's mean importance
    weight: 1 up to chance, if the logged propensities are right and every item could have been shown. faults: what
    of the services' accounting does not balance; empty when every delivery and event came to its one end.
    """

    rows: int
    served_rows: int
    clicks: int
    items: int
    first_at: float
    last_at: float
    mean_weight: float
    lines: tuple[Line, ...]
    faults: tuple[str, ...] = ()

    @property
    def ranked(self) -> tuple[Line, ...]:
        """The policies, best first. Uniform counts once: its exact line says what its served one says, and better."""
        policies = {line.policy: line for line in reversed(self.lines)}
        return tuple(sorted(policies.values(), key=lambda line: -line.snips.value))

    @property
    def has_too_few_clicks(self) -> bool:
        """See `is_too_close_to_rank`, over the SNIPS estimates."""
        return is_too_close_to_rank([line.snips for line in self.ranked])

    @property
    def verdict(self) -> str:
        """What the estimates allow to say: the order of the policies, or that there are too few clicks for one."""
        if self.has_too_few_clicks:
            return TOO_FEW
        signs = [" ≈ " if a.snips.overlaps(b.snips) else " > " for a, b in pairwise(self.ranked)]
        return "".join(line.policy + sign for line, sign in zip(self.ranked, [*signs, ""], strict=True))

    def to_dict(self) -> dict[str, Any]:
        """For `--json`: plain values; an unbounded limit is null."""
        return {
            "rows": self.rows,
            "served_rows": self.served_rows,
            "clicks": self.clicks,
            "items": self.items,
            "first_at": _iso(self.first_at),
            "last_at": _iso(self.last_at),
            "mean_weight": self.mean_weight,
            "policies": [_plain(asdict(line)) for line in self.lines],
            "too_few_clicks_to_rank": self.has_too_few_clicks,
            "verdict": self.verdict,
            "accounting_faults": list(self.faults),
        }

    def __rich__(self) -> Group:
        span = f"{_iso(self.first_at)[:10]} to {_iso(self.last_at)[:10]}"
        head = Text(f"{self.rows:,} rows, {self.clicks:,} clicks, {self.items:,} items, {span}", style="bold")
        verdict = Text(self.verdict, style="bold yellow" if self.has_too_few_clicks else "bold green")
        faults = [Text(f"accounting: {fault}", style="bold red") for fault in self.faults]
        return Group(head, _table(self.lines), Text(self._notes(), style="dim"), *faults, verdict)

    def _notes(self) -> str:
        part = "all" if self.served_rows == self.rows else "the first"
        fallbacks = sum(line.fallbacks for line in self.lines)
        notes = [
            f"Served lines: {part} {self.served_rows:,} rows, asked of the services; matched is the logged item at "
            "the logged position.",
            f"Logged and exact lines: all {self.rows:,} rows. Clicks per 100 impressions, 95 % intervals.",
        ]
        notes += [_learning(line) for line in self.lines if line.how == "served" and line.policy != UNIFORM]
        if fallbacks:
            notes.append(f"{fallbacks:,} served slates were fallbacks and count as what the placement showed.")
        return "\n".join(notes)


def report(
    log: Log, items: int, served: Mapping[str, Served], served_rows: int, faults: Sequence[str] = ()
) -> ReplayReport:
    """Estimate every policy: the logged and the uniform one over the whole log, each placement over what it served."""
    uniform = 1.0 / items / log.propensity
    lines = [
        _line(LOGGED, "logged", log, np.ones(len(log))),
        _line(UNIFORM, "exact", log, uniform),
    ]
    for placement, found in served.items():
        policy = "linear_ts" if placement == LEARNT else UNIFORM
        weights = found.is_match / log.propensity[:served_rows]
        lines.append(_line(policy, "served", log, weights, found.fallbacks, max(len(found.model_versions) - 1, 0)))
    return ReplayReport(
        rows=len(log),
        served_rows=served_rows,
        clicks=int(log.click.sum()),
        items=items,
        first_at=float(log.at[0]),
        last_at=float(log.at[-1]),
        mean_weight=float(uniform.mean()),
        lines=tuple(lines),
        faults=tuple(faults),
    )


def _line(
    policy: str,
    how: str,
    log: Log,
    weights: np.ndarray[Any, np.dtype[np.float64]],
    fallbacks: int = 0,
    updates: int = 0,
) -> Line:
    click = log.click[: weights.size]
    told = weights > 0
    return Line(
        policy=policy,
        how=how,
        rows=weights.size,
        matched=int(told.sum()),
        clicks=int(click[told].sum()),
        # Every row is its own unit: the log does not say which rows are one person's.
        ctr=None if how == "exact" else clustered_rate(click[told], np.ones(int(told.sum()))),
        ips=ips(click, weights),
        snips=snips(click, weights),
        fallbacks=fallbacks,
        model_updates=updates,
    )


def _table(lines: tuple[Line, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("policy", "how"):
        table.add_column(name)
    for name in ("rows", "matched", "clicks", "CTR", "IPS", "SNIPS"):
        table.add_column(name, justify="right")
    for line in lines:
        counts = [f"{count:,}" for count in (line.rows, line.matched, line.clicks)]
        estimates = [_percent(estimate) for estimate in (line.ctr, line.ips, line.snips)]
        table.add_row(line.policy, line.how, *counts, *estimates)
    return table


def _learning(line: Line) -> str:
    if line.model_updates:
        return f"{line.policy} learnt while it served: its model was replaced {line.model_updates:,} times."
    return f"{line.policy} served from one model throughout: nothing it saw was learnt in time. Serve more rows."


def _percent(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    high = f"{100 * estimate.high:.2f}" if math.isfinite(estimate.high) else "∞"
    return f"{100 * estimate.value:.2f}\n{100 * estimate.low:.2f}–{high}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(element) for name, element in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
