"""Whoever answers `POST /v1/recommendations` on this machine: the product, and what people build instead."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.competitors import environment
from omakase.supervisor import Supervisor

_STOP_S = 10.0


@dataclass(frozen=True, slots=True)
class Contestant:
    """Where it answers, and the processes that it consists of."""

    url: str
    pids: Mapping[str, int]


def product(up: Supervisor) -> Contestant:
    return Contestant(up.gateway_url, {name: child.pid for name, child in up.processes.items()})


@contextmanager
def rival(ranks: str, *, is_library: bool = False) -> Iterator[Contestant]:
    """One of `competitors.http.server.RANKS`; a library runs in the libraries' environment. Raises: NotInstalled."""
    with _told("server", {"ranks": ranks}, is_library) as (pid, answer):
        yield Contestant(_url(answer), {"server": pid})


@contextmanager
def unary() -> Iterator[Contestant]:
    """Two processes: numpy behind a unary call, over a socket of the kind that the product uses on one machine."""
    with TemporaryDirectory(prefix="omakase-bench-") as directory:
        address = f"unix:{directory}/rank.sock"
        with (
            _told("unary", {"address": address}) as (recommender, _),
            _told("server", {"ranks": "unary", "target": address}) as (server, answer),
        ):
            yield Contestant(_url(answer), {"server": server, "recommender": recommender})


def _url(answer: Mapping[str, object]) -> str:
    return f"http://127.0.0.1:{answer['port']}"


@contextmanager
def _told(module: str, told: Mapping[str, str], is_library: bool = False) -> Iterator[tuple[int, dict[str, object]]]:
    """A competitor's process, what it was told, and what it answered when it listened."""
    interpreter = None if is_library else Path(sys.executable)
    process = environment.start(f"benchmarks.competitors.http.{module}", interpreter)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        print(json.dumps(told), file=process.stdin, flush=True)
        yield process.pid, json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(_STOP_S)
