"""The matrix as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from tests.fault.matrix.row import Outcome

_COLUMNS = ("requests", "events with 202", "fallbacks", "errors", "balanced", "lost", "learnt twice", "model = fold")


def table_of(outcomes: Sequence[Outcome]) -> Table:
    """A row per fault.

    In brackets: events that were stored though their 202 never reached the storefront, and requests that were cut and
    repeated. An error is what the storefront saw in spite of that.
    """
    table = Table(title="Fault matrix", show_lines=True)
    table.add_column("row", no_wrap=True)
    table.add_column("what was done", ratio=1)
    for column in (*_COLUMNS, "s"):
        table.add_column(column, justify="right")
    for outcome in outcomes:
        table.add_row(outcome.name, outcome.done, *cells(outcome), f"{outcome.seconds:.0f}", style=_style(outcome))
    return table


def cells(outcome: Outcome) -> list[str]:
    verdict = outcome.verdict
    if verdict is None:
        return ["-"] * len(_COLUMNS)
    return [
        f"{verdict.requests:,}",
        f"{verdict.accepted:,} (+{verdict.unanswered})",
        f"{verdict.fallbacks:,}",
        f"{verdict.errors} ({verdict.cut} cut)",
        _word(verdict.is_balanced),
        str(verdict.lost),
        str(verdict.learnt_twice),
        _word(verdict.is_reference),
    ]


def _word(is_so: bool) -> str:
    return "yes" if is_so else "NO"


def _style(outcome: Outcome) -> str:
    if outcome.faults:
        return "red"
    return "green" if outcome.verdict else "dim"
