"""Traces: the way of one request through the services and on to learning, as spans for an OTLP receiver.

Off unless `start` is called: nothing that makes or sends spans is imported then, and what is asked here costs a look
at a variable. A trace begins at the gateway, for some requests; its `traceparent` (W3C Trace Context) goes along in
messages and records, and who meets it adds to the trace. No span holds personal data.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

from omakase.core.errors import InvalidConfig
from omakase.logs import TRACE_ID

if TYPE_CHECKING:
    from omakase.serving.otlp import Otlp

Attribute: TypeAlias = str | int | float | bool

# Version, trace, parent, flags. Of a later version only what follows these is not known.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1

_otlp: Otlp | None = None
_ratio = 0.0


class Span:
    """Something under way, until its context is left. Entered, it is what further spans of this task belong to."""

    def __init__(self, otlp: Otlp, name: str, parent: str, *, is_entry: bool = False) -> None:
        self._span = otlp.begin(name, parent, is_entry=is_entry)
        self.traceparent = otlp.traceparent_of(self._span)

    def tell(self, **told: Attribute) -> None:
        """What it was about. Nothing of it may be personal."""
        for name, value in told.items():
            self._span.set_attribute(f"omakase.{name}", value)

    def __enter__(self) -> Self:
        self._before = _current.set(self)
        self._trace_before = TRACE_ID.set(self.traceparent[3:35])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None:
            self._span.set_attribute("error.type", kind.__name__)  # not its message, which may repeat what was sent
        self._span.end()
        _current.reset(self._before)
        TRACE_ID.reset(self._trace_before)


class Untraced:
    """A span of nothing."""

    traceparent = ""

    def tell(self, **told: Attribute) -> None:
        """Nobody listens."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


UNTRACED = Untraced()
_current: ContextVar[Span | None] = ContextVar("span", default=None)


def start(service: str, url: str | None, ratio: float) -> None:
    """Send traces to `url` from now on, if there is one: of `ratio` of the requests, and those whose caller says so.

    Raises: InvalidConfig where OpenTelemetry is not installed.
    """
    global _otlp, _ratio
    if url is None:
        return
    try:
        from omakase.serving.otlp import Otlp
    except ModuleNotFoundError as error:
        raise InvalidConfig([f"OMAKASE_TRACES needs {error.name}: pip install 'omakase[traces]'"]) from error
    _otlp, _ratio = Otlp(service, url), ratio


def stop() -> None:
    """Send what is left, for a few seconds at most."""
    global _otlp
    if _otlp is not None:
        _otlp.stop()
        _otlp = None


def is_on() -> bool:
    """Whether anything is traced in this process."""
    return _otlp is not None


def entry(name: str, traceparent: str) -> Span | Untraced:
    """A request as it comes in. Traced or not as its caller says; if it says nothing, by lot."""
    if _otlp is None:
        return UNTRACED
    is_chosen = is_sampled(traceparent) if traceparent else random.random() < _ratio  # noqa: S311  not a secret
    return Span(_otlp, name, traceparent, is_entry=True) if is_chosen else UNTRACED


def span(name: str) -> Span | Untraced:
    """A part of what this task is at. Cost: 0.4 µs where that is not traced."""
    current = _current.get()
    return UNTRACED if current is None or _otlp is None else Span(_otlp, name, current.traceparent)


def past(
    name: str, parent: str, began_ns: int, ended_ns: int, told: Mapping[str, Attribute], links: Sequence[str] = ()
) -> None:
    """Something that is over, in the trace of `parent`, a traceparent; with none, or while nothing is traced, nothing.

    Units: Unix nanoseconds.
    """
    if _otlp is None or not is_sampled(parent):
        return
    begun = _otlp.begin(name, parent, began_ns=began_ns, links=links)
    for key, value in told.items():
        begun.set_attribute(f"omakase.{key}", value)
    begun.end(ended_ns)


def traceparent_of(sent: bytes) -> str:
    """A traceparent as it came from outside, in version 00; empty unless it is one."""
    found = _TRACEPARENT.fullmatch(sent.decode("latin-1"))
    if found is None:
        return ""
    version, trace, parent, flags, rest = found.groups()
    is_one = version != "ff" and trace.strip("0") and parent.strip("0") and (version != "00" or rest is None)
    return f"00-{trace}-{parent}-{flags}" if is_one else ""


def is_sampled(traceparent: str) -> bool:
    """Whether its trace is kept. False for what is no traceparent."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found is not None and bool(int(found[4], 16) & _SAMPLED)
