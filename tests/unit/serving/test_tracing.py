"""Traces: what is taken for a traceparent, what is sent, and that nothing is there while they are off."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from omakase.core.errors import InvalidConfig
from omakase.logs import TRACE_ID
from omakase.serving import tracing
from omakase.settings import Settings
from tests.integration.receiver import Receiver

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        tracing.start("test", receiver.url, 1.0)
        yield receiver
        tracing.stop()


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        (SAMPLED, SAMPLED),
        (f"00-{TRACE}-{PARENT}-00", f"00-{TRACE}-{PARENT}-00"),
        (f"cc-{TRACE}-{PARENT}-01-what-will-be", SAMPLED),
        (f"00-{TRACE}-{PARENT}-01-more", ""),
        (f"ff-{TRACE}-{PARENT}-01", ""),
        (f"00-{'0' * 32}-{PARENT}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-{PARENT}-01", ""),
        (f"00-{TRACE[1:]}-{PARENT}-01", ""),
        (f" {SAMPLED}", ""),
        (f"{SAMPLED}\n", ""),
        ("٠" * 55, ""),
        ("", ""),
    ],
)
def test_only_a_traceparent_is_taken_for_one(sent: str, taken: str) -> None:
    assert tracing.traceparent_of(sent.encode()) == taken


def test_a_span_belongs_to_its_caller_and_its_parts_to_it(receiver: Receiver) -> None:
    with tracing.entry("request", SAMPLED):
        assert TRACE_ID.get() == TRACE
        with tracing.span("part") as part:
            part.tell(variant="learnt", items=3)
    assert TRACE_ID.get() == ""
    tracing.stop()
    spans = receiver.of(TRACE)
    assert (spans["request"].parent, spans["part"].parent) == (PARENT, spans["request"].span)
    assert spans["part"].told == {"variant": "learnt", "items": 3}


def test_what_is_over_is_linked_to_the_other_traces_that_it_was_for(receiver: Receiver) -> None:
    other = f"00-{'a' * 32}-{PARENT}-01"
    now = time.time_ns()
    tracing.past("call", SAMPLED, now - 1000, now, {"requests": 2}, links=[other])
    tracing.past("call", f"00-{'b' * 32}-{PARENT}-00", now - 1000, now, {})
    tracing.past("call", "", now - 1000, now, {})
    tracing.stop()
    (span,) = receiver.spans
    assert (span.trace, span.links, span.ended_ns - span.began_ns) == (TRACE, ("a" * 32,), 1000)


def test_a_request_whose_caller_wants_no_trace_has_none(receiver: Receiver) -> None:
    with tracing.entry("request", f"00-{TRACE}-{PARENT}-00") as entry, tracing.span("part") as part:
        assert (entry.traceparent, part.traceparent) == ("", "")
    tracing.stop()
    assert receiver.spans == []


def test_the_message_of_an_error_is_in_no_span(receiver: Receiver) -> None:
    with pytest.raises(ValueError, match="Ada"), tracing.entry("request", SAMPLED):
        raise ValueError("Ada is no number")
    tracing.stop()
    assert receiver.of(TRACE)["request"].told == {"error.type": "ValueError"}


def test_of_requests_whose_caller_says_nothing_a_share_is_traced() -> None:
    with Receiver() as receiver:
        tracing.start("test", receiver.url, 0.25)
        for _ in range(1000):
            with tracing.entry("request", ""):
                pass
        tracing.stop()
    # Within five standard deviations: wrong once in a million.
    assert abs(len(receiver.spans) - 250) < 5 * (1000 * 0.25 * 0.75) ** 0.5


def test_nothing_waits_for_a_receiver_that_is_away() -> None:
    tracing.start("test", "http://127.0.0.1:9/v1/traces", 1.0)
    started = time.monotonic()
    with tracing.entry("request", SAMPLED):
        pass
    assert time.monotonic() - started < 1.0
    tracing.stop()
    assert time.monotonic() - started < 10.0


def test_while_it_is_off_what_makes_and_sends_spans_is_not_imported() -> None:
    program = """
import sys
import gateway.__main__, recommender.__main__, tracking.__main__
from omakase.serving import tracing
tracing.start("gateway", None, 1.0)
with tracing.entry("request", ""), tracing.span("part") as part:
    part.tell(variant="learnt")
tracing.stop()
ours = "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "requests", "omakase.serving.otlp"
print([name for name in sys.modules if name.startswith(ours)])  # FastAPI imports the interface where it is installed
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_without_opentelemetry_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "omakase.serving.otlp", None)
    with pytest.raises(InvalidConfig, match=r"pip install 'omakase\[traces\]'"):
        tracing.start("gateway", "http://127.0.0.1:4318/v1/traces", 1.0)


@pytest.mark.parametrize("url", ["127.0.0.1:4318", "grpc://collector:4317", "http://", "http://a b/"])
def test_what_is_no_url_of_a_receiver_is_refused(url: str) -> None:
    given = {"OMAKASE_CONFIG": "c", "OMAKASE_KEYS": "k", "OMAKASE_TRACES": url}
    with pytest.raises(InvalidConfig, match=r"OMAKASE_TRACES: .*OTLP receiver"):
        Settings.from_environ(given)
