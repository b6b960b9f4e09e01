"""Logging of every process: one line an event, UTC, to standard error; as text, or as JSON.

A line names what it is about: `request_id` the slate, `correlation_id` the caller's request, `trace_id` the trace. It
holds no personal data and nothing that a caller sent but a correlation ID, whose form leaves no room for any.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, Literal, TextIO, TypeAlias

Format: TypeAlias = Literal["text", "json"]

# Of the request that is worked on; empty outside of one. What the caller called it, and its trace.
CORRELATION_ID: ContextVar[str] = ContextVar("correlation_id", default="")
TRACE_ID: ContextVar[str] = ContextVar("trace_id", default="")

_ABOUT: Final = ("request_id", "correlation_id", "trace_id")
# Room for a UUID or the like, none for a name or an address.
_CORRELATION_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")


def set_up(service: str, level: str, style: Format = "text") -> None:
    """Call once, at the start of a process."""
    logging.basicConfig(level=level.upper(), handlers=[new_handler(service, style)], force=True)
    for noisy in ("uvicorn.error", "apache_beam"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def new_handler(service: str, style: Format, stream: TextIO | None = None) -> logging.Handler:
    """What writes the lines, to standard error or to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.addFilter(_name_subjects)
    handler.setFormatter(JsonLines(service) if style == "json" else TextLines(service))
    return handler


def correlation_id_of(sent: bytes) -> str:
    """What a caller called its request; empty if it does not look like an ID."""
    return sent.decode("ascii") if _CORRELATION_ID.fullmatch(sent) else ""


def correlate() -> None:
    """Give the request that is worked on an ID, if its caller gave none: for what is logged and told of."""
    if not CORRELATION_ID.get():
        CORRELATION_ID.set(secrets.token_hex(8))


class TextLines(logging.Formatter):
    """Time, level, service, module, message, and then what the line is about."""

    converter = staticmethod(time.gmtime)

    def __init__(self, service: str) -> None:
        super().__init__(f"%(asctime)s.%(msecs)03dZ %(levelname)s {service} %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging names it so
        subjects = "".join(f" {name}={value}" for name in _ABOUT if (value := getattr(record, name, "")))
        return super().formatMessage(record) + subjects


class JsonLines(logging.Formatter):
    """One JSON object a line, whatever is in the message; a traceback goes into `error`."""

    converter = staticmethod(time.gmtime)

    def __init__(self, service: str) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%S")
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{self.formatTime(record, self.datefmt)}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in _ABOUT if (value := getattr(record, name, ""))}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


class FewLines:
    """Writes at most one line a topic and pause; the next one says how many came without a line.

    For what may come thousands of times a second and must not fill a disk. Not for several threads. Cost: a few hundred
    nanoseconds where no line is written. Units: seconds, `now` monotonic.
    """

    def __init__(self, log: logging.Logger, now: Callable[[], float] = time.monotonic, pause_s: float = 1.0) -> None:
        self._log = log
        self._now = now
        self._pause_s = pause_s
        self._told_at: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def warn(self, topic: str, message: str, *args: object, request_id: str = "") -> None:
        """As a logger's `warning`. `topic` is one of few; what is said holds nothing personal."""
        now = self._now()
        if now - self._told_at.get(topic, -self._pause_s) < self._pause_s:
            self._untold[topic] = self._untold.get(topic, 0) + 1
            return
        untold = self._untold.pop(topic, 0)
        self._told_at[topic] = now
        more = f"; and {untold} more since the last line" if untold else ""
        self._log.warning(message + "%s", *args, more, extra={"request_id": request_id}, stacklevel=2)


def _name_subjects(record: logging.LogRecord) -> bool:
    """On the thread that logs: what it works on, unless the line says itself."""
    for name, variable in (("correlation_id", CORRELATION_ID), ("trace_id", TRACE_ID)):
        if not hasattr(record, name):
            setattr(record, name, variable.get())
    return True
