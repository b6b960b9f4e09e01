"""A light load generator: keep-alive connections that send prepared requests, one at a time each.

It reads answers by their Content-Length and nothing more, so that it costs the machine far less than what it measures.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Load:
    """What a run gave. Units: seconds; latencies are sorted."""

    answers: int
    errors: int
    elapsed_s: float
    latencies_s: tuple[float, ...]
    bodies: tuple[bytes, ...] = ()

    @property
    def per_second(self) -> float:
        return self.answers / self.elapsed_s

    def percentile(self, share: float) -> float:
        return self.latencies_s[min(int(share * len(self.latencies_s)), len(self.latencies_s) - 1)]


def request(url: str, path: str, body: bytes) -> bytes:
    """One prepared POST."""
    head = f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass(frozen=True, slots=True)
class Connection:
    """One kept-alive connection; one request at a time."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def to(cls, url: str) -> Connection:
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length:")
        body = await self.reader.readexactly(int(head[at + 15 : head.index(b"\r\n", at)]))
        return int(head[9:12]), body

    def close(self) -> None:
        self.writer.close()


async def run(
    url: str, requests: Sequence[bytes], connections: int, seconds: float = 1e9, *, keep_bodies: bool = False
) -> Load:
    """Send `requests` in turn over `connections`, round and round for `seconds`, or once each if that is endless."""
    limit = len(requests) if seconds > 1e8 else None
    deadline = time.perf_counter() + seconds
    latencies: list[float] = []
    bodies: list[bytes] = []
    sent = errors = 0

    async def visit() -> None:
        nonlocal sent, errors
        connection = await Connection.to(url)
        while time.perf_counter() < deadline and (limit is None or sent < limit):
            number, sent = sent, sent + 1
            started = time.perf_counter()
            status, body = await connection.send(requests[number % len(requests)])
            latencies.append(time.perf_counter() - started)
            errors += status // 100 != 2
            if keep_bodies:
                bodies.append(body)
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(visit() for _ in range(connections)))
    elapsed_s = time.perf_counter() - started
    return Load(len(latencies), errors, elapsed_s, tuple(sorted(latencies)), tuple(bodies))


def main() -> None:
    """`python -m benchmarks.load URL PATH CONNECTIONS SECONDS < bodies`: a line of JSON with the figures."""
    url, path, connections, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    requests = [request(url, path, line.rstrip(b"\n")) for line in sys.stdin.buffer]
    load = asyncio.run(run(url, requests, connections, seconds))
    figures = {"per_second": load.per_second, "errors": load.errors}
    print(json.dumps({**figures, "p50_ms": load.percentile(0.5) * 1e3, "p99_ms": load.percentile(0.99) * 1e3}))


if __name__ == "__main__":
    main()
