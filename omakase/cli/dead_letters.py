"""`omakase events dead-letters list`, `show` and `replay`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from omakase.adapters import open_clock, open_dead_letters, open_delivery_log, open_event_bus
from omakase.cli.options import AsJson, ExistingDataDir
from omakase.core.accounting import FEATURES, UNDECODABLE
from omakase.core.errors import InvalidInput, NotFound
from omakase.core.suggestion import suggest
from omakase.deployment import Deployment
from omakase.letters import facts_of, replay
from omakase.ports.dead_letters import DeadLetter
from omakase.serving.refused import Refused

app = typer.Typer(help="What was accepted and could not be used, kept until it can be.", no_args_is_help=True)

# Of delivery records that tracking would not take: they never came to the bus, and lie beside the spools.
REFUSED = "refused"
REASONS = (UNDECODABLE, FEATURES, REFUSED)
Reason = Annotated[str | None, typer.Option("--reason", help=f"Only these: {', '.join(REASONS)}.")]


@app.command("list")
def list_letters(
    data_dir: ExistingDataDir,
    reason: Reason = None,
    newest: Annotated[int, typer.Option("--newest", min=0, help="How many are listed.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Count them by reason, then list the newest.

    Example: `omakase events dead-letters list --data-dir data`
    """
    _check(reason)
    deployment = Deployment(data_dir, data_dir)
    letters = open_dead_letters(deployment.uris.training)
    counts = [
        {"kind": count.kind, "reason": count.reason, "kept": count.kept, "dropped": count.dropped}
        for count in letters.counts()
        if reason in (None, count.reason)
    ]
    refused = sum(Refused(path).count() for path in deployment.refused())
    if refused and reason in (None, REFUSED):
        counts.append({"kind": "slates", "reason": REFUSED, "kept": refused, "dropped": 0})
    found = [_line(letter) for letter in islice(letters.read(reason), newest)]
    if as_json:
        print(json.dumps({"counts": counts, "newest": found}, indent=2))
    elif not counts:
        Console().print("no dead letters")
    else:
        Console().print(_table("Dead letters", counts))
        Console().print(_table("The newest", found) if found else "none of them was kept")


@app.command()
def show(letter_id: Annotated[str, typer.Argument(metavar="ID")], data_dir: ExistingDataDir) -> None:
    """Print what is known of one, as JSON.

    Example: `omakase events dead-letters show 0199f0… --data-dir data`
    """
    try:
        key = bytes.fromhex(letter_id)
    except ValueError:
        raise InvalidInput(f"{letter_id!r} is no id: take one from `omakase events dead-letters list`") from None
    letter = open_dead_letters(Deployment(data_dir, data_dir).uris.training).find(key)
    if letter is None:
        raise NotFound(f"no dead letter {letter_id}: it may have been replayed")
    print(json.dumps(dict(facts_of(letter)), indent=2))


@app.command("replay")
def replay_letters(data_dir: ExistingDataDir, reason: Reason = None) -> None:
    """Send them on their way again, after what was wrong has been mended. Works while the services run.

    One that still cannot be used becomes a dead letter again. Nothing is counted twice, however often it is replayed.

    Example: `omakase events dead-letters replay --reason features --data-dir data`
    """
    _check(reason)
    deployment = Deployment(data_dir, data_dir)
    if reason != REFUSED:
        letters = open_dead_letters(deployment.uris.training).read(reason)
        now = open_clock(deployment.clock_uri).now()
        count = replay(letters, open_event_bus(deployment.uris.bus), now)
        Console().print(f"{count} dead letters are on their way to the trainer")
    if reason in (None, REFUSED):
        count = 0
        for path in deployment.refused():
            spool = open_delivery_log(deployment.spool(path.parent.name))
            count += Refused(path).release(spool.append)
        if count or reason:
            Console().print(f"{count} refused delivery records are in their spools again")


def _check(reason: str | None) -> None:
    if reason is not None and reason not in REASONS:
        raise InvalidInput(f"no reason {reason!r}{suggest(reason, REASONS)}, known: {', '.join(REASONS)}")


def _line(letter: DeadLetter) -> dict[str, object]:
    at = datetime.fromtimestamp(letter.received_at, UTC).isoformat(timespec="seconds")
    return {
        "id": letter.key.hex(),
        "received_at": at,
        "kind": letter.kind,
        "reason": letter.reason,
        "detail": letter.detail,
    }


def _table(title: str, rows: list[dict[str, object]]) -> Table:
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*map(str, row.values()))
    return table
