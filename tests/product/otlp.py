"""A small OTLP/HTTP collector: it listens on a socket, decodes what comes, and keeps it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True)
class Told:
    """A span as it came. `service` is who told of it."""

    service: str
    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    link_ids: tuple[bytes, ...]


class Collector:
    """What was told so far."""

    def __init__(self) -> None:
        self.spans: list[Told] = []
        self.metrics: set[tuple[str, str]] = set()
        """(service, name) of each metric that had data points."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def listening(self) -> Iterator[Collector]:
        thread = threading.Thread(target=self._server.serve_forever, name="collector")
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def take_traces(self, body: bytes) -> bytes:
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = service_of(of_resource.resource)
            for scope in of_resource.scope_spans:
                self.spans += [
                    Told(
                        service,
                        span.name,
                        span.trace_id,
                        span.span_id,
                        span.parent_span_id,
                        tuple(link.span_id for link in span.links),
                    )
                    for span in scope.spans
                ]
        return ExportTraceServiceResponse().SerializeToString()

    def take_metrics(self, body: bytes) -> bytes:
        for of_resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            service = service_of(of_resource.resource)
            self.metrics |= {
                (service, metric.name)
                for scope in of_resource.scope_metrics
                for metric in scope.metrics
                if metric.histogram.data_points
                or metric.sum.data_points
                or metric.gauge.data_points
            }
        return ExportMetricsServiceResponse().SerializeToString()


def service_of(resource: Resource) -> str:
    attributes: list[KeyValue] = list(resource.attributes)
    return next(it.value.string_value for it in attributes if it.key == "service.name")


def _handler_for(collector: Collector) -> type[BaseHTTPRequestHandler]:
    paths = {"/v1/traces": collector.take_traces, "/v1/metrics": collector.take_metrics}

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            is_understood = self.path in paths and self.headers["content-type"] == PROTOBUF
            answer = paths[self.path](body) if is_understood else b""
            self.send_response(200 if is_understood else 415)
            self.send_header("content-type", PROTOBUF)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *values: object) -> None:
            """Nobody reads along."""

    return Answer
