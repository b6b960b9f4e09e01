"""`python -m tests.fault.matrix [ROW …] [--seed N]`: all rows, or those named. Exit code 1 if one fails."""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console

from tests.fault.matrix.row import run_row
from tests.fault.matrix.rows import ROWS
from tests.fault.matrix.table import table_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fault.matrix", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; default: all")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000, help="what is random follows from it")
    asked = parser.parse_args()
    if unknown := set(asked.rows) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(unknown))}; known: {', '.join(ROWS)}")
    # Wide enough for the table where standard output is no terminal.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(f"seed {asked.seed}")
    outcomes = []
    for name in asked.rows or ROWS:
        console.print(f"{name} ...")
        outcomes.append(run_row(ROWS[name], asked.seed))
        for fault in outcomes[-1].faults:
            console.print(f"  {fault}", style="red", markup=False)
    console.print(table_of(outcomes))
    return 1 if any(outcome.faults for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
