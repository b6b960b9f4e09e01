"""One row of the matrix: a whole service, load on it, a fault, a drain, a verdict."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeAlias

from omakase import models
from omakase.adapters import open_model_store
from omakase.deployment import Deployment
from omakase.supervisor import Supervisor
from tests.fault.matrix.evidence import Evidence, gather
from tests.fault.matrix.load import Load
from tests.fault.matrix.shop import open_shop
from tests.fault.matrix.verdict import Verdict, judge

READY_S = 90.0
_PATIENCE_S = 90.0
Place: TypeAlias = Callable[[], AbstractContextManager[Path]]


class Skipped(Exception):
    """This machine cannot do that row; the message says why."""


class Unmet(Exception):
    """The fault was done, and the service did not do what it promises while it lasted."""


@dataclass(slots=True)
class Scene:
    """What a fault is done to. `excluded` is what a rebuild left out, in SQL over the warehouse's deliveries."""

    deployment: Deployment
    up: Supervisor
    load: Load
    random: Random
    excluded: str = "false"

    def warm_up(self) -> None:
        """Return when every part has done its work at least once: each model is published."""
        store = open_model_store(self.deployment.uris.models)
        until(lambda: len(models.keys(store)) == len(self.up.product.models), "every model is published")

    def serve(self, slates: int) -> None:
        """Return when so many more slates were served, none of them by error. Raises: Unmet."""
        goal = self.load.notes.slates + slates
        until(lambda: self.load.notes.slates >= goal, f"{slates} more slates are served")


@contextmanager
def any_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="omakase-fault-") as home:
        yield Path(home)


@dataclass(frozen=True, slots=True)
class Row:
    """`injure` does the harm under load and returns what was done, in words. `place`: where the data lies.

    Only where the process dies that holds the storefront's connection may a request be cut (`may_cut`). Each of the
    shoppers rests for `pause_s` between two slates, on average.
    """

    name: str
    injure: Callable[[Scene], str]
    place: Place = any_directory
    may_cut: bool = False
    pause_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """`verdict` is None for a row that was skipped, or that broke off; `faults` says why it fails, if it does."""

    name: str
    done: str
    verdict: Verdict | None
    faults: tuple[str, ...]
    seconds: float


def run_row(row: Row, seed: int) -> Outcome:
    """Never raises for what the row is about: whatever goes wrong is the row's outcome."""
    started = time.monotonic()
    verdict: Verdict | None = None
    faults: tuple[str, ...] = ()
    try:
        with row.place() as home:
            done, evidence = perform(row, home, seed)
        verdict = judge(evidence)
        faults = verdict.faults
        if verdict.cut and not row.may_cut:
            faults = (*faults, f"{verdict.cut} requests were cut though nobody died who held them")
    except Skipped as skipped:
        done = f"skipped: {skipped}"
    except Exception as error:
        done, faults = row.name, (f"{type(error).__name__}: {error}",)
    return Outcome(row.name, done, verdict, faults, time.monotonic() - started)


def perform(row: Row, home: Path, seed: int, adapters: Mapping[str, str] | None = None) -> tuple[str, Evidence]:
    """Do a row in an empty directory. Returns what was done, and what was left after the drain."""
    deployment = open_shop(home, adapters)
    with Supervisor(deployment) as up:
        up.wait_ready(READY_S)
        with Load(up.gateway_url, up.tracking_url, seed, pause_s=row.pause_s) as load:
            scene = Scene(deployment, up, load, Random(f"{seed}/{row.name}"))
            scene.warm_up()
            done = row.injure(scene)
            up.wait_ready(READY_S)
            scene.serve(50)
        up.drain()
    return done, gather(deployment, load.notes, scene.excluded)


def until(is_true: Callable[[], bool], what: str, within_s: float = _PATIENCE_S) -> None:
    """Wait for a condition, not for a time. Raises: Unmet."""
    deadline = time.monotonic() + within_s
    while not is_true():
        if time.monotonic() > deadline:
            raise Unmet(f"after {within_s:g} s it is still not so that {what}")
        pause(0.05)


def pause(for_s: float) -> None:
    """Let the load work on what was done."""
    threading.Event().wait(for_s)
