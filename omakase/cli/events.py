"""`omakase events stats`, and what became of the dead letters."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from omakase.accounts import read_account
from omakase.cli import dead_letters
from omakase.cli.options import AsJson, ExistingDataDir
from omakase.core.accounting import DELIVERIES, EVENTS, Account
from omakase.deployment import Deployment

app = typer.Typer(help="What became of every delivery and event.", no_args_is_help=True)
app.add_typer(dead_letters.app, name="dead-letters")


@app.command()
def stats(data_dir: ExistingDataDir, as_json: AsJson = False) -> None:
    """The accounting: every delivery and every event ends in exactly one state, or is still open.

    While events stream in, some are on their way to the trainer, and the two ends cannot be held against each other.
    Exit code 1 if something does not balance.

    Example: `omakase events stats --data-dir data`
    """
    account = read_account(Deployment(data_dir, data_dir), with_warehouse=True)
    if as_json:
        print(json.dumps({**asdict(account), "faults": account.faults()}, indent=2))
    else:
        Console().print(account_table(account))
        for fault in account.faults():
            Console().print(f"not balanced: {fault}", style="bold red")
    raise typer.Exit(1 if account.faults() else 0)


def account_table(account: Account) -> Table:
    """The account, a row per state."""
    table = Table("", "deliveries", "events", title="Accounting")
    names = list(dict.fromkeys([*account.deliveries.ends, *account.events.ends]))
    table.add_row("taken by tracking", str(account.recorded), str(account.accepted))
    for name in names:
        table.add_row(f"  {name}", *(str(side.ends.get(name, "")) for side in (account.deliveries, account.events)))
    table.add_row("  open", str(account.deliveries.open), str(account.events.open))
    table.add_row("  waiting for their delivery", "", str(account.parked))
    for count in account.dead:
        cells = [f"{count.kept + count.dropped}" if kind == count.kind else "" for kind in (DELIVERIES, EVENTS)]
        table.add_row(f"  of the rejected, dead letters: {count.reason}", *cells)
    if account.unread:
        table.add_row("on the way to the trainer", f"{account.unread} messages", "")
    if loaded := account.loaded:
        whole = "" if loaded.is_whole else ", less what is too old"
        table.add_row(f"in the warehouse{whole}", str(loaded.deliveries), str(loaded.events))
        table.add_row("  with examples", str(loaded.learnt), "")
        if loaded.unloaded:
            table.add_row("on the way to the warehouse", f"{loaded.unloaded} messages", "")
    return table
