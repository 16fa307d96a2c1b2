"""Traces by OpenTelemetry, as one tree from the caller through the door and the cell to the disk.

Nothing below the door knows of it: the application, the cell's call and the store are wrapped.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, cast

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.dispatch import CellRpc
from engine.call import Call
from engine.errors import EngineError
from engine.persistence.protocols import ShardWrite, Store

INSTRUMENTATION = "perdure"
TRACEPARENT = "traceparent"


class Traces:
    """Makes the spans of one process."""

    def __init__(self, spans: SpanProcessor, resource: Resource) -> None:
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(spans)
        self._tracer = self._provider.get_tracer(INSTRUMENTATION)

    def application(self, app: ASGIApp) -> ASGIApp:
        return _TracedApplication(app, self._tracer)

    def cell(self, call: CellRpc, *, is_remote: bool) -> CellRpc:
        """The same call as a span, where it is part of a trace: upkeep's own calls are of none."""
        tracer = self._tracer

        async def traced(method: str, request: bytes, about: Call) -> bytes:
            # A call from another process brings its span along.
            asked = propagate.extract({TRACEPARENT: about.trace}) if about.trace else None
            if not trace.get_current_span(asked).get_span_context().is_valid:
                return await call(method, request, about)
            with tracer.start_as_current_span(
                f"cell {method.rpartition('.')[2]}",
                context=asked,
                kind=_kind(about, is_remote=is_remote),
                attributes={"rpc.method": method, "perdure.namespace_id": about.namespace_id},
                # An exception's text may quote what a tenant sent.
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    return await call(method, request, about.traced(traceparent()))
                except EngineError as error:
                    span.set_status(StatusCode.ERROR, type(error).__name__)
                    raise

        return traced

    def store(self, store: Store) -> Store:
        # It has every method of the store that it passes on, which a type checker cannot see.
        return cast(Store, _TracedStore(store, self._tracer))

    def close(self) -> None:
        """Sends what is left; waits for the collector at most as long as its exporter does."""
        self._provider.shutdown()


def traceparent() -> str:
    """Of the current span; empty where there is none."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get(TRACEPARENT, "")


def _kind(about: Call, *, is_remote: bool) -> SpanKind:
    if is_remote:
        return SpanKind.CLIENT
    return SpanKind.SERVER if about.trace else SpanKind.INTERNAL


class _TracedApplication:
    """One span for each request, a child of the caller's own, named by its RPC once known."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        carrier = {name.decode("latin-1"): it.decode("latin-1") for name, it in scope["headers"]}
        inner, status = dict(scope), 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._tracer.start_as_current_span(
            scope["method"],
            context=propagate.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": scope["method"]},
            record_exception=False,
        ) as span:
            # Whoever passes the request on passes this span on as its parent.
            others = [pair for pair in scope["headers"] if pair[0] != TRACEPARENT.encode()]
            inner["headers"] = [*others, (TRACEPARENT.encode(), traceparent().encode())]
            try:
                await self._app(inner, receive, send_noting)
            finally:
                method = inner.get("rpc_method", "")
                span.update_name(method.rpartition(".")[2] or _named_by_route(inner))
                span.set_attributes({"rpc.method": method, "http.response.status_code": status})


def _named_by_route(scope: Scope) -> str:
    """By the pattern of its path, which names nobody; the verb alone where that is not known."""
    pattern: str = getattr(scope.get("route"), "path", "")
    return f"{scope['method']} {pattern}".rstrip()


class _TracedStore:
    """A store whose commits are spans: how long they take, how much is in one.

    A group commit belongs to many traces, so it is a span of its own; each trace has a span that
    leads to it.
    """

    def __init__(self, store: Store, tracer: Tracer) -> None:
        self._store = store
        self._tracer = tracer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        traces = {trace for write in writes for trace in write.traces}
        if not traces:
            return await self._store.commit(writes)
        run_count = sum(len(write.runs) for write in writes)
        attributes = {"perdure.shards": len(writes), "perdure.runs": run_count}
        started_ns = time.time_ns()
        with self._tracer.start_as_current_span("group commit", attributes=attributes) as span:
            try:
                fenced = await self._store.commit(writes)
            finally:
                self._tell(traces, span, started_ns)
            span.set_attribute("perdure.fenced_shards", len(fenced))
        return fenced

    def _tell(self, traces: Iterable[str], group: Span, started_ns: int) -> None:
        """Of the commit that just ended, to every trace that it is a part of."""
        ended_ns = time.time_ns()
        links = [Link(group.get_span_context())]
        for trace_parent in traces:
            parent = propagate.extract({TRACEPARENT: trace_parent}, context=Context())
            span = self._tracer.start_span(
                "commit", context=parent, links=links, start_time=started_ns
            )
            span.end(ended_ns)
