"""How far a job is, for whoever watches."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import Progress as Bar

log = logging.getLogger(__name__)

Progress: TypeAlias = Callable[[int, int], None]
"""Told how much is done, of how much."""

# Lines of a log come no closer together.
_LINE_S = 5.0


def nobody_watches(done: int, total: int) -> None:
    """A Progress."""


@contextmanager
def shown(name: str, console: Console | None = None) -> Iterator[Progress]:
    """A bar on a terminal, else a line of the log now and then."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _in_lines(name)
        return
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _in_lines(name: str) -> Progress:
    due = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal due
        if total and (done == total or time.monotonic() >= due):
            log.info("%s: %d of %d", name, done, total)
            due = time.monotonic() + _LINE_S

    return tell
