"""A Redis of a test's own."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis import Redis

from tests.counterparts import REDIS, free_port


@dataclass
class OwnRedis:
    """It keeps what it has in `directory`, so that it may be killed and started again."""

    directory: Path
    port: int = field(default_factory=free_port)

    def start(self) -> None:
        if not REDIS.command(self.port, self.directory):
            pytest.skip(f"{REDIS.name} is not here: {REDIS.how}")
        REDIS.start(self.directory, self.port)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(int((self.directory / "pid").read_text()), signal.SIGKILL)

    def uri(self, **options: object) -> str:
        return f"redis://127.0.0.1:{self.port}/0?" + "&".join(f"{name}={value}" for name, value in options.items())

    def admin(self) -> Redis:
        return Redis(port=self.port)
