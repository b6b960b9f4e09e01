"""Spans of OpenTelemetry, sent to an OTLP receiver by a thread. Imported only where there is one."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)

_SEND_S = 2.0
_EVERY_MS = 1000


class Otlp:
    """Begins spans; what has ended waits in a bounded queue and is sent about once a second.

    Guarantees: nobody waits for the receiver. While that is away spans are dropped, and the log says so.
    """

    def __init__(self, service: str, url: str) -> None:
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # what is not to be kept is never begun
            resource=Resource.create({"service.name": service, "service.namespace": "omakase"}),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(url, timeout=_SEND_S)
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=_EVERY_MS, export_timeout_millis=_SEND_S * 1000)
        )
        self._tracer = self._provider.get_tracer("omakase")

    def begin(
        self,
        name: str,
        parent: str,
        *,
        is_entry: bool = False,
        began_ns: int | None = None,
        links: Sequence[str] = (),
    ) -> Span:
        """A span under `parent`, a traceparent; without one, of a trace of its own. Units: Unix nanoseconds."""
        return self._tracer.start_span(
            name,
            set_span_in_context(NonRecordingSpan(_context_of(parent))) if parent else None,
            SpanKind.SERVER if is_entry else SpanKind.INTERNAL,
            links=[Link(_context_of(link)) for link in links],
            start_time=began_ns,
        )

    def traceparent_of(self, span: Span) -> str:
        """How others name this span as theirs' parent."""
        context = span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def stop(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def _context_of(traceparent: str) -> SpanContext:
    _, trace, parent, flags = traceparent.split("-")
    return SpanContext(int(trace, 16), int(parent, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
