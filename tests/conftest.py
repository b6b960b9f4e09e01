"""What a whole run shares: the counterparts of the cloud's services, and a last word on which were there."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

from tests import counterparts


def pytest_configure(config: pytest.Config) -> None:
    if counterparts.RUN not in os.environ:  # a worker has it from who started it
        os.environ[counterparts.RUN] = tempfile.mkdtemp(prefix="counterparts-")
        os.environ[counterparts.OWNER] = str(os.getpid())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a counterpart: tests of modules that import one, and contracts over the cloud's adapters."""
    for item in items:
        given = getattr(getattr(item, "callspec", None), "params", {}).values()
        imported = vars(item.module).values() if isinstance(item, pytest.Function) else ()
        if any(_is_of_counterparts(each) for each in (*given, *imported)):
            item.add_marker(pytest.mark.cloud)


def _is_of_counterparts(thing: object) -> bool:
    name = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None)
    return isinstance(name, str) and name.startswith(counterparts.__name__)


def pytest_unconfigure(config: pytest.Config) -> None:
    if os.environ.get(counterparts.OWNER) == str(os.getpid()):
        directory = Path(os.environ[counterparts.RUN])
        for noted in directory.glob("*/pid"):
            with suppress(ProcessLookupError):
                os.killpg(int(noted.read_text()), signal.SIGKILL)
        shutil.rmtree(directory, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The contract suites by port and adapter, and what could not be tested for real."""
    outcomes: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            path, _, test = getattr(report, "nodeid", "").partition("::")
            if path.startswith("tests/contract/") and "[" in test:
                adapter = test.partition("[")[2].rstrip("]").split("-")[0]
                outcomes[Path(path).stem.removeprefix("test_"), adapter].append(outcome)
    if outcomes:
        terminalreporter.section("contracts, port × adapter")
    for (port, adapter), found in sorted(outcomes.items()):
        counts = ", ".join(
            f"{found.count(each)} {each}" for each in ("passed", "failed", "error", "skipped") if each in found
        )
        terminalreporter.write_line(f"{port:20} {adapter:12} {counts}")
    here = [one.name for one in counterparts.ALL if one.is_here]
    terminalreporter.write_line(
        f"counterparts of the cloud: {len(here)} of {len(counterparts.ALL)} ({', '.join(here)})"
    )
    for one in counterparts.ALL:
        if not one.is_here:
            terminalreporter.write_line(f"NOT TESTED FOR REAL: {one.name} is not here: {one.how}", red=True)
