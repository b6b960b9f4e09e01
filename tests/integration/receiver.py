"""A receiver of OTLP traces over HTTP: the other end of `OMAKASE_TRACES`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True, slots=True)
class Received:
    """One span. Ids are hexadecimal; `parent` is empty for the first of a trace. Units: Unix nanoseconds."""

    service: str
    name: str
    trace: str
    span: str
    parent: str
    links: tuple[str, ...]
    began_ns: int
    ended_ns: int
    told: Mapping[str, Any]


class Receiver:
    """Keeps every span that it is sent."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.spans += _spans(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def of(self, trace: str) -> dict[str, Received]:
        """The spans of a trace, by name."""
        return {span.name: span for span in self.spans if span.trace == trace}


def _spans(request: ExportTraceServiceRequest) -> list[Received]:
    return [
        Received(
            next(one.value.string_value for one in resource.resource.attributes if one.key == "service.name"),
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            tuple(link.trace_id.hex() for link in span.links),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            {
                one.key.removeprefix("omakase."): getattr(one.value, one.value.WhichOneof("value") or "string_value")
                for one in span.attributes
            },
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
