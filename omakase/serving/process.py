"""How every process of Omakase starts: settings, logs, and a message instead of a traceback."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from typing import TypeVar

from omakase import logs
from omakase.core.errors import InvalidInput, OmakaseError
from omakase.serving import tracing
from omakase.serving.lifeline import hold
from omakase.settings import Settings

S = TypeVar("S", bound=Settings)

# Objects more than there were before garbage is looked for: a batch makes thousands that go by themselves.
_ALLOCATIONS = 20_000


def run(name: str, kind: type[S], work: Callable[[S], None]) -> int:
    """Read the settings from the environment and do the work of the service.

    Returns the exit code: 2 if something is to be changed first, 3 if it may be tried again as it is.
    """
    try:
        settings = kind.from_environ(os.environ)
        logs.set_up(name, settings.log_level, settings.log_format)
        tracing.start(name, settings.traces, settings.traces_ratio)
        hold(settings.lifeline_fd)
        # What was imported stays for good: without it, a look for garbage costs a tenth of what tracking does.
        gc.freeze()
        gc.set_threshold(_ALLOCATIONS, 20, 20)
        try:
            work(settings)
        finally:
            tracing.stop()
    except OmakaseError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2 if isinstance(error, InvalidInput) else 3
    return 0
