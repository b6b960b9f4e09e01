"""A replay from files to report: on its own data directory, on the log's own time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from omakase.accounts import read_account
from omakase.adapters import open_catalogue_store
from omakase.adapters.local.clock import MappedClock
from omakase.core.accounting import Account, DeliveryEnd
from omakase.core.errors import InvalidInput
from omakase.deployment import Deployment
from omakase.replay.driver import Course, Endpoints, Served, drive
from omakase.replay.items import read_items
from omakase.replay.log import Log, read_log
from omakase.replay.product import LEARNT, PLACEMENTS, write_product
from omakase.replay.pupil import TUNING, Pupil
from omakase.replay.report import ReplayReport, report
from omakase.supervisor import Supervisor

_READY_S = 60.0


def replay(
    log: Path,
    items: Path,
    *,
    serve_rows: int | None = None,
    seed: int = 0,
    data_dir: Path | None = None,
    progress: bool = True,
) -> ReplayReport:
    """Replay a logged bandit through the services of this machine and estimate what each policy earns.

    The first `serve_rows` rows (None: all) go through the services; the logged and the exact estimates use the whole
    file. `data_dir` must be empty or absent; without it a temporary one is used and removed. `seed` names the rows'
    visitors; the services draw their own randomness, so two replays differ by chance.

    Raises: InvalidInput, before anything is started, naming the lines of the files to change; NotFound; Unavailable.
    """
    if serve_rows is not None and serve_rows < 1:
        raise InvalidInput(f"serve rows must be 1 or more, not {serve_rows}")
    with _bar(progress) as bar, _directory(data_dir) as directory:
        reading = bar.add_task("reading", total=None)
        catalogue = read_items(items)
        rows = read_log(log, [item.item_id for item in catalogue])
        product = directory / "product.yaml"
        configured = write_product(product, rows, catalogue)
        bar.update(reading, total=len(rows), completed=len(rows))
        served_rows = min(serve_rows or len(rows), len(rows))
        course = Course(rows, [item.item_id for item in catalogue], served_rows, PLACEMENTS, seed)

        # The clock stands at the first row before any service reads it: ids must not be of today.
        clock_path = directory / "clock"
        clock = MappedClock.create(clock_path, float(rows.at[0]))
        deployment = Deployment(
            config=product,
            data_dir=directory,
            clock_uri=f"mapped:{clock_path}",
            # The clock may move days while a record ships; its events must still be waiting when it comes.
            tuning={**TUNING, "tracking": {"orphan_wait_s": configured.learning.reward_window_s}},
        )
        open_catalogue_store(deployment.uris.catalogue).put(catalogue)
        starting = bar.add_task("starting", total=None)
        with Supervisor(deployment) as up:
            up.wait_ready(timeout_s=_READY_S)
            bar.update(starting, total=1, completed=1)
            served = _serve(course, up, clock, bar)
            up.drain()
        faults = _faults(read_account(deployment), served, rows)
    return report(rows, len(catalogue), served, served_rows, faults)


def _faults(account: Account, served: Mapping[str, Served], log: Log) -> list[str]:
    """What the services' books say, held against what this client was told: its 202s, and one example per match."""
    found = account.faults()
    if account.unread:
        found.append(f"after the drain {account.unread} messages are unread")
    matched = {placement: np.flatnonzero(one.is_match) for placement, one in served.items()}
    sent = sum(rows.size + int(log.click[rows].sum()) for rows in matched.values())
    if account.accepted != sent:
        found.append(f"the replay was told of {sent} accepted events, tracking counts {account.accepted}")
    learnt = sum(account.deliveries.ends.get(end, 0) for end in (DeliveryEnd.LEARNT, DeliveryEnd.LEARNT_WITHOUT_CLICK))
    # A fallback slate has no model: what matched in one is not learnt from.
    if LEARNT in matched and not served[LEARNT].fallbacks and learnt != matched[LEARNT].size:
        found.append(f"{matched[LEARNT].size} rows matched, {learnt} were learnt")
    return found


def _serve(course: Course, up: Supervisor, clock: MappedClock, bar: Progress) -> dict[str, Served]:
    serving = bar.add_task("serving", total=course.rows)
    endpoints, pupil = Endpoints(up.gateway_url, up.tracking_url), Pupil(up.deployment)
    return asyncio.run(drive(course, endpoints, clock, pupil.catch_up, lambda done: bar.advance(serving, done)))


@contextmanager
def _directory(data_dir: Path | None) -> Iterator[Path]:
    if data_dir is None:
        with TemporaryDirectory(prefix="omakase-replay-") as temporary:
            yield Path(temporary)
        return
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise InvalidInput(f"{data_dir} is not an empty directory: a replay starts from nothing, choose another one")
    data_dir.mkdir(parents=True, exist_ok=True)
    yield data_dir


def _bar(progress: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Standard error: the report, or its JSON, has standard output to itself.
    return Progress(*columns, console=Console(stderr=True), disable=not progress)
