"""Bodies of many lines: read piece by piece, worked on chunk by chunk, with the progress told meanwhile.

A body may be of any length: only a chunk of it is held. Each chunk is one transaction. A line that does not fit is told
by its number and harms no other.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.admin.call import Call
from omakase.core.errors import InvalidInput, OmakaseError
from omakase.entries import Entry, read_line
from omakase.serving.http import failure

log = logging.getLogger(__name__)

NDJSON = "application/x-ndjson"
# As the OpenAPI document has the body and the answer.
_TEXT = {"schema": {"type": "string"}}
LINES: dict[str, Any] = {"content": {NDJSON: _TEXT, "text/plain": _TEXT}}
PROGRESS: dict[str, Any] = {"description": "A JSON line a chunk", "content": {NDJSON: _TEXT}}
CHUNK_LINES = 500
CHUNK_BYTES = 1_000_000
# Faults beyond are counted and not told: who sends all before he reads anything must find room for the answer.
MOST_FAULTS = 500
_MOST_CHARACTERS = 200

Parsed = TypeVar("Parsed")


class Line(NamedTuple):
    """One line, counted from 1; no text where it is too long to be held."""

    number: int
    text: bytes | None


class Fault(NamedTuple):
    """What is wrong with a line."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Worked:
    """What became of a chunk."""

    done: int
    faults: Sequence[Fault] = ()


Work: TypeAlias = Callable[[list[Line]], Worked]


def parse(lines: Sequence[Line], read: Callable[[Entry], Parsed]) -> tuple[list[tuple[Line, Parsed]], list[Fault]]:
    """What the lines say, and those that do not fit."""
    parsed: list[tuple[Line, Parsed]] = []
    faults: list[Fault] = []
    for line in lines:
        try:
            if line.text is None:
                raise InvalidInput("is too long")
            parsed.append((line, read_line(line.text, read, is_first=line.number == 1)))
        except InvalidInput as error:
            faults.append(Fault(line.number, str(error)[:_MOST_CHARACTERS]))
    return parsed, faults


class LinesResponse(Response):
    """Reads the request's lines, works on them and tells of it, a JSON line a chunk; the last says `complete`.

    Guarantees: when `complete` is true every line was either done or is a fault. Where it is false, or no such line
    comes, what was told as done is done and the rest may be; the whole may be sent again.
    """

    media_type = NDJSON

    def __init__(self, call: Call, work: Work) -> None:
        super().__init__()
        self._call = call
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tally, has_begun = _Tally(), False

        async def tell(is_last: bool, **more: object) -> None:
            nonlocal has_begun
            if not has_begun:
                headers = [(b"content-type", NDJSON.encode())]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                has_begun = True
            body = msgspec.json.encode(tally.told(**more)) + b"\n"
            await send({"type": "http.response.body", "body": body, "more_body": not is_last})

        try:
            async for lines in _chunks(receive, self._call.admin.max_line_bytes):
                tally.add(await self._call.admin.blocking(self._work, lines))
                await tell(False)
            await tell(True, complete=True)
        except ClientDisconnect:
            log.warning("the lines ended early: %d are done", tally.done)
        except OmakaseError as error:
            if not has_begun:
                await failure(error)(scope, receive, send)
                return
            await tell(True, complete=False, error=str(error))
        finally:
            self._call.note(done=tally.done, failed=tally.failed)


@dataclass(slots=True)
class _Tally:
    done: int = 0
    failed: int = 0
    _untold: list[Fault] = field(default_factory=list)
    _room: int = MOST_FAULTS

    def add(self, worked: Worked) -> None:
        self.done += worked.done
        self.failed += len(worked.faults)
        self._untold = [*worked.faults][: self._room]
        self._room -= len(self._untold)

    def told(self, **more: object) -> dict[str, Any]:
        """The counts so far, and the faults since the last time."""
        faults, self._untold = self._untold, []
        told = {"faults": [fault._asdict() for fault in faults]} if faults else {}
        return {"done": self.done, "failed": self.failed, **told, **more}


async def _chunks(receive: Receive, max_line_bytes: int) -> AsyncIterator[list[Line]]:
    cutter, lines, size = _Cutter(max_line_bytes), list[Line](), 0
    is_more = True
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        is_more = message.get("more_body", False)
        for line in cutter.cut(message.get("body", b""), is_last=not is_more):
            lines.append(line)
            size += len(line.text or b"")
            if len(lines) >= CHUNK_LINES or size >= CHUNK_BYTES:
                yield lines
                lines, size = [], 0
    if lines:
        yield lines


class _Cutter:
    """Cuts pieces into lines, blank ones left out but counted. Holds at most one line."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()
        self._is_too_long = False
        self._number = 0

    def cut(self, piece: bytes, *, is_last: bool) -> Iterator[Line]:
        *ended, rest = piece.split(b"\n")
        for part in ended:
            self._take(part)
            yield from self._end()
        self._take(rest)
        if is_last:
            yield from self._end()

    def _take(self, part: bytes) -> None:
        self._rest += part
        if len(self._rest) > self._max_bytes:
            self._is_too_long = True
        if self._is_too_long:
            self._rest.clear()

    def _end(self) -> Iterator[Line]:
        self._number += 1
        text, is_too_long = bytes(self._rest), self._is_too_long
        self._rest.clear()
        self._is_too_long = False
        if is_too_long or text.strip():
            yield Line(self._number, None if is_too_long else text)
