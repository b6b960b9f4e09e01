"""A shell for the command line's tests, and a data directory."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from omakase.cli import main
from omakase.deployment import Deployment
from omakase.keys import create_keys

EXAMPLES = Path(__file__).parents[3] / "examples"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Omakase = Callable[..., Said]


@pytest.fixture
def omakase(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Omakase]:
    """Run a command as the shell does. It must not end in a traceback: any but SystemExit fails the test."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("OMAKASE_DATA_DIR", raising=False)

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["omakase", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Said(int(ended.value.code or 0), said.out, said.err)

    # `up` sets up logging for its process, which is ours here.
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield run
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    deployment = Deployment(EXAMPLES / "storefront.yaml", tmp_path / "data")
    deployment.data_dir.mkdir()
    create_keys(deployment.keys)
    return deployment
