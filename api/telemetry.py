"""Traces and metrics by OpenTelemetry, for where an operator asks for them.

Nothing below the door knows of it: the application, the cell's call and the store are wrapped.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, cast

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.dispatch import CellRpc
from engine.call import Call
from engine.errors import EngineError
from engine.persistence.protocols import ShardWrite, Store

SERVICE_NAME = "perdure"
METRICS_SECONDS = 15
TRACEPARENT = "traceparent"


class Telemetry:
    """`endpoint` is an OTLP/HTTP address without the signal's path, as http://127.0.0.1:4318."""

    def __init__(self, spans: SpanProcessor, metrics: MetricReader) -> None:
        resource = Resource.create({"service.name": SERVICE_NAME})
        self._tracing = TracerProvider(resource=resource)
        self._tracing.add_span_processor(spans)
        self._metering = MeterProvider([metrics], resource=resource)
        self._tracer = self._tracing.get_tracer(SERVICE_NAME)
        self._meter = self._metering.get_meter(SERVICE_NAME)

    @classmethod
    def to_endpoint(cls, endpoint: str) -> Telemetry:
        address = endpoint.rstrip("/")
        return cls(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{address}/v1/traces")),
            PeriodicExportingMetricReader(
                OTLPMetricExporter(endpoint=f"{address}/v1/metrics"),
                export_interval_millis=METRICS_SECONDS * 1_000,
            ),
        )

    def application(self, app: ASGIApp) -> ASGIApp:
        return _TracedApplication(app, self._tracer, self._meter)

    def cell(self, call: CellRpc) -> CellRpc:
        tracer = self._tracer

        async def traced(method: str, request: bytes, about: Call) -> bytes:
            attributes = {"rpc.method": method, "perdure.namespace_id": about.namespace_id}
            # A call from another process brings its span along.
            asked = propagate.extract({TRACEPARENT: about.trace}) if about.trace else None
            with tracer.start_as_current_span(
                f"cell {method.rpartition('.')[2]}",
                context=asked,
                attributes=attributes,
                # An exception's text may quote what a tenant sent.
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    return await call(method, request, about.traced(_traceparent()))
                except EngineError as error:
                    span.set_status(StatusCode.ERROR, type(error).__name__)
                    raise

        return traced

    def store(self, store: Store) -> Store:
        # It has every method of the store that it passes on, which a type checker cannot see.
        return cast(Store, _TracedStore(store, self._tracer, self._meter))

    def close(self) -> None:
        """Sends what is left; waits for the collector at most as long as its exporters do."""
        self._tracing.shutdown()
        self._metering.shutdown()


def _traceparent() -> str:
    """Of the current span."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get(TRACEPARENT, "")


class _TracedApplication:
    """One span for each request, a child of the caller's own, named by its RPC once known."""

    def __init__(self, app: ASGIApp, tracer: Tracer, meter: Meter) -> None:
        self._app = app
        self._tracer = tracer
        self._seconds = meter.create_histogram(
            "http.server.request.duration", unit="s", description="How long requests take."
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        carrier = {name.decode("latin-1"): it.decode("latin-1") for name, it in scope["headers"]}
        status = 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        with self._tracer.start_as_current_span(
            scope["method"],
            context=propagate.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": scope["method"]},
            record_exception=False,
        ) as span:
            try:
                await self._app(scope, receive, send_noting)
            finally:
                method = scope.get("rpc_method", "")
                attributes = {"rpc.method": method, "http.response.status_code": status}
                span.update_name(method.rpartition(".")[2] or scope["method"])
                span.set_attributes(attributes)
                self._seconds.record(time.perf_counter() - started, attributes)


class _TracedStore:
    """A store whose commits are spans: how long they take, how much is in one.

    A group commit belongs to many traces, so it is a span of its own; each trace has a span that
    leads to it.
    """

    def __init__(self, store: Store, tracer: Tracer, meter: Meter) -> None:
        self._store = store
        self._tracer = tracer
        self._seconds = meter.create_histogram(
            "perdure.commit.duration", unit="s", description="How long group commits take."
        )
        self._runs = meter.create_counter(
            "perdure.commit.runs", description="Runs written by group commits."
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        run_count = sum(len(write.runs) for write in writes)
        attributes = {"perdure.shards": len(writes), "perdure.runs": run_count}
        traces = {trace for write in writes for trace in write.traces}
        started, started_ns = time.perf_counter(), time.time_ns()
        with self._tracer.start_as_current_span("group commit", attributes=attributes) as span:
            try:
                fenced = await self._store.commit(writes)
            finally:
                self._tell(traces, span, started_ns)
            span.set_attribute("perdure.fenced_shards", len(fenced))
        self._seconds.record(time.perf_counter() - started)
        self._runs.add(run_count)
        return fenced

    def _tell(self, traces: Iterable[str], group: Span, started_ns: int) -> None:
        """Of the commit that just ended, to every trace that it is a part of."""
        ended_ns = time.time_ns()
        links = [Link(group.get_span_context())]
        for trace in traces:
            parent = propagate.extract({TRACEPARENT: trace}, context=Context())
            span = self._tracer.start_span(
                "commit", context=parent, links=links, start_time=started_ns
            )
            span.end(ended_ns)
