"""A light load generator: prepared requests over kept-alive connections, each of which carries one at a time.

Closed: every connection sends again as soon as it is answered, which finds the capacity. Open: requests are due by the
clock at a rate, whatever the answers do; a latency counts from when its request was due, so that waiting for a free
connection is part of it. It runs on bare sockets in a process of its own, so that it costs the machine far less than
what it measures; what it costs is reported.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import selectors
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, repeat
from urllib.parse import urlsplit

from benchmarks.connection import request

FAULTS = ("errors", "short", "fallbacks")
_PATIENCE_S = 30.0
_CHUNK = 1 << 15  # a larger one is mapped and unmapped at each call


@dataclass(frozen=True, slots=True)
class Load:
    """What a run gave. Units: seconds; cpu_s is the generator's own; latencies are sorted, those of errors among them.

    `errors` are answers other than 2xx and requests without an answer. Where a number of items was asked for, `short`
    are the 2xx answers with another, and `fallbacks` those that say that they are one. `resent` are requests that were
    sent again over a new connection, once, because the kept one was closed before a byte of an answer: as every client
    of HTTP does. `served_s` are the latencies of 2xx answers.
    """

    answers: int
    errors: int
    short: int
    fallbacks: int
    elapsed_s: float
    cpu_s: float
    latencies_s: tuple[float, ...]
    bodies: tuple[bytes, ...] = ()
    resent: int = 0
    served_s: tuple[float, ...] = ()

    @property
    def per_second(self) -> float:
        return self.answers / self.elapsed_s

    def percentile(self, share: float) -> float:
        return _percentile(self.latencies_s, share)

    def served_percentile(self, share: float) -> float:
        return _percentile(self.served_s, share)


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


@dataclass(frozen=True, slots=True)
class Figures:
    """A run in short, as its process reports it. Units: cpu_us of the generator for an answer."""

    answers: int
    errors: int
    short: int
    fallbacks: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    resent: int = 0
    served: int = 0
    served_p99_ms: float = 0.0
    elapsed_s: float = 0.0

    @property
    def faults(self) -> int:
        return sum(getattr(self, fault) for fault in FAULTS)


def run(
    url: str,
    requests: Sequence[bytes],
    connections: int,
    seconds: float | None = None,
    *,
    rate: float | None = None,
    even: bool = False,
    items: int | None = None,
    keep_bodies: bool = False,
) -> Load:
    """Send `requests` in turn, round and round for `seconds`, or once each; then wait for what is unanswered.

    Open with a `rate` per second: at random moments (Poisson), or at `even` distances. Where slates are asked for,
    `items` is how many each must have. Raises: OSError if nobody listens.
    """
    generator = _Generator(url, requests, connections, items, keep_bodies, is_open=rate is not None)
    started, cpu_s = time.perf_counter(), time.process_time()
    until = None if seconds is None else started + seconds
    if rate is not None:
        moments = _by_the_clock(started, until, rate, even)
    else:
        moments = repeat(0.0, len(requests)) if until is None else _while_before(until)
    found = generator.drive(moments)
    return Load(
        len(found.latencies_s),
        found.errors,
        found.short,
        found.fallbacks,
        time.perf_counter() - started,
        time.process_time() - cpu_s,
        tuple(sorted(found.latencies_s)),
        tuple(found.bodies),
        found.resent,
        tuple(sorted(found.served_s)),
    )


def _while_before(until: float) -> Iterator[float]:
    while time.perf_counter() < until:
        yield 0.0  # due at once: a moment that is still to come, by however little, is waited for


def _by_the_clock(started: float, until: float | None, rate: float, even: bool) -> Iterator[float]:
    rng, at = random.Random(1), started
    while until is None or at < until:
        yield at
        at += 1 / rate if even else rng.expovariate(rate)


_MOST_SELECTED = 1000


class _Line:
    """A connection. `due` is when its request was due, None while it carries none. It `is_kept` once it has brought an
    answer, and `is_last` if that said that it was the last."""

    __slots__ = ("buffer", "due", "is_kept", "is_last", "request", "sock")

    def __init__(self, address: tuple[str | None, int | None]) -> None:
        self.sock = socket.create_connection(address, timeout=_PATIENCE_S)
        self.sock.settimeout(None)  # with one, each call polls first
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due: float | None = None
        self.request = b""
        self.is_kept = self.is_last = False
        self.buffer = b""

    def receive(self) -> tuple[int, bytes] | None:
        """Status and body once the answer is whole. Raises: ConnectionError if the other side has closed."""
        piece = self.sock.recv(_CHUNK)
        if not piece:
            raise ConnectionResetError
        self.buffer = buffer = self.buffer + piece if self.buffer else piece
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = buffer[:end].lower()
        at = head.index(b"content-length:") + 15
        line_end = head.find(b"\r", at)
        length = int(head[at:] if line_end < 0 else head[at:line_end])
        if len(buffer) < end + 4 + length:
            return None
        self.buffer = b""
        self.is_kept, self.is_last = True, b"\r\nconnection: close" in head
        return int(head[9:12]), buffer[end + 4 :]


@dataclass(slots=True)
class _Found:
    latencies_s: list[float] = field(default_factory=list)
    served_s: list[float] = field(default_factory=list)
    resent: int = 0
    bodies: list[bytes] = field(default_factory=list)
    errors: int = 0
    short: int = 0
    fallbacks: int = 0


class _Generator:
    """The loop: sends what is due while a connection is free, reads what has come."""

    def __init__(
        self,
        url: str,
        requests: Sequence[bytes],
        connections: int,
        items: int | None,
        keep_bodies: bool,
        is_open: bool,
    ) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._requests, self._items, self._keep_bodies = requests, items, keep_bodies
        # epoll rounds a wait up to a millisecond; select does not, and is slower: it is for waiting by the clock, where
        # few enough files are open.
        may_select = is_open and len(os.listdir("/dev/fd")) + connections < _MOST_SELECTED
        self._selector = selectors.SelectSelector() if may_select else selectors.DefaultSelector()
        self._is_open, self._idle, self._busy = is_open, deque[_Line](), 0
        self.found = _Found()
        for _ in range(connections):
            self._connect()

    def drive(self, moments: Iterator[float]) -> _Found:
        """Send one request at each moment, or as soon after as a connection is free, and wait for the answers."""
        requests, due = cycle(self._requests), next(moments, None)
        while due is not None or self._busy:
            now = time.perf_counter()
            while due is not None and due <= now and self._idle:
                self._send(next(requests), due if self._is_open else time.perf_counter())
                due = next(moments, None)
            next_send_s = due - now if due is not None and self._idle else None
            if not self._read(_PATIENCE_S if next_send_s is None else max(0.0, next_send_s)) and next_send_s is None:
                self.found.errors += self._busy  # they had their time
                break
        for key in list(self._selector.get_map().values()):
            key.data.sock.close()
        self._selector.close()
        return self.found

    def _connect(self) -> None:
        line = _Line(self._address)
        self._selector.register(line.sock, selectors.EVENT_READ, line)
        self._idle.append(line)

    def _send(self, request: bytes, due: float) -> None:
        line = self._idle.popleft()
        line.due, line.request = due, request
        self._busy += 1
        try:
            line.sock.sendall(request)
        except OSError:
            self._lose(line)

    def _read(self, timeout: float) -> bool:
        """Whether anything came within `timeout`."""
        ready = self._selector.select(timeout)
        for key, _ in ready:
            line: _Line = key.data
            try:
                answer = line.receive()
            except OSError:
                self._lose(line)
            else:
                if answer is not None:
                    self._note(line, *answer)
        return bool(ready)

    def _note(self, line: _Line, status: int, body: bytes) -> None:
        assert line.due is not None
        found = self.found
        latency_s = time.perf_counter() - line.due
        found.latencies_s.append(latency_s)
        line.due = None
        self._busy -= 1
        self._idle.append(line)
        if line.is_last:
            self._lose(line)
        if status // 100 != 2:
            found.errors += 1
        else:
            found.served_s.append(latency_s)
            if self._items is not None:
                found.short += body.count(b'"delivery_id"') != self._items
                found.fallbacks += b'"fallback":true' in body
        if self._keep_bodies:
            found.bodies.append(body)

    def _lose(self, line: _Line) -> None:
        """It was closed by the other side; if it carried a request, that has no answer."""
        self._selector.unregister(line.sock)
        line.sock.close()
        self._connect()
        if line.due is None:
            self._idle.remove(line)
            return
        self._busy -= 1
        if line.is_kept and not line.buffer:
            self.found.resent += 1
            self._idle.appendleft(self._idle.pop())  # the new one, which is not kept: it is not sent a third time
            self._send(line.request, line.due)
        else:
            self.found.errors += 1


def measured(
    url: str,
    bodies: bytes,
    connections: int,
    seconds: float,
    *,
    path: str = "/v1/recommendations",
    rate: float | None = None,
    even: bool = False,
    items: int | None = 10,
) -> Figures:
    """One run in a process of its own. `bodies` are lines."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.load",
        url,
        path,
        f"--connections={connections}",
        f"--seconds={seconds}",
    ]
    command += [f"--rate={rate}"] * (rate is not None) + ["--even"] * even + [f"--items={items}"] * (items is not None)
    done = subprocess.run(command, input=bodies, stdout=subprocess.PIPE, check=True, timeout=seconds + 4 * _PATIENCE_S)
    return Figures(**json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description="Bodies on standard input, by line.")
    parser.add_argument("url")
    parser.add_argument("path")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rate", type=float, help="requests per second by the clock, not as many as can be")
    parser.add_argument("--even", action="store_true", help="at even distances, not at random")
    parser.add_argument("--items", type=int, help="how many items each slate must have")
    given = parser.parse_args()
    requests = [request(given.url, given.path, line.rstrip(b"\n")) for line in sys.stdin.buffer]
    load = run(
        given.url, requests, given.connections, given.seconds, rate=given.rate, even=given.even, items=given.items
    )
    if not load.answers:
        parser.error(f"{given.url} answered nothing within {_PATIENCE_S:g} s")
    figures = Figures(
        load.answers,
        load.errors,
        load.short,
        load.fallbacks,
        load.per_second,
        load.percentile(0.5) * 1e3,
        load.percentile(0.99) * 1e3,
        load.cpu_s / load.answers * 1e6,
        load.resent,
        len(load.served_s),
        load.served_percentile(0.99) * 1e3,
        load.elapsed_s,
    )
    print(json.dumps(asdict(figures)))


if __name__ == "__main__":
    main()
