"""Traces, metrics and health of one process, for its operators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from starlette.types import ASGIApp

from api.dispatch import CellRpc
from api.health import Readiness
from api.telemetry.board import Board
from api.telemetry.calls import MeasuredApplication
from api.telemetry.operator_port import operator_port
from api.telemetry.otlp import Push
from api.telemetry.settings import TelemetrySettings
from api.telemetry.traces import Traces
from engine.persistence.protocols import Store

SERVICE_NAME = "perdure"


class Telemetry:
    """What is wrapped here is told of; whoever has numbers adds them to the `board`.

    `readiness` is what the process says of itself; it is not ready while it starts.
    """

    def __init__(
        self,
        spans: SpanProcessor | None = None,
        metrics: MetricExporter | None = None,
        *,
        part: str = "",
    ) -> None:
        name = f"{SERVICE_NAME}-{part}" if part else SERVICE_NAME
        resource = Resource.create({"service.name": name})
        self.board = Board()
        self.readiness: Readiness = _starting
        self._traces = None if spans is None else Traces(spans, resource)
        self._push = None if metrics is None else Push(self.board, metrics, resource)

    @classmethod
    def to_endpoint(cls, endpoint: str | None, *, part: str = "") -> Telemetry:
        """An OTLP/HTTP address without the signal's path, as http://127.0.0.1:4318."""
        if endpoint is None:
            return cls(part=part)
        # They bring an HTTP client of their own, which nobody needs who pushes nothing.
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        address = endpoint.rstrip("/")
        return cls(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{address}/v1/traces")),
            OTLPMetricExporter(endpoint=f"{address}/v1/metrics"),
            part=part,
        )

    def application(self, app: ASGIApp) -> ASGIApp:
        measured = MeasuredApplication(app)
        self.board.add(measured.readings)
        return measured if self._traces is None else self._traces.application(measured)

    def cell(self, call: CellRpc, *, is_remote: bool = False) -> CellRpc:
        return call if self._traces is None else self._traces.cell(call, is_remote=is_remote)

    def store(self, store: Store) -> Store:
        return store if self._traces is None else self._traces.store(store)

    def tell(self) -> dict[str, Any]:
        """Whether the process can do its work, as it says now."""
        return self.readiness()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watches the event loop and pushes; at the end it sends what is left."""
        tasks = [asyncio.create_task(self.board.watch_loop(), name="watch event loop")]
        if self._push is not None:
            tasks.append(asyncio.create_task(self._push.run(), name="push metrics"))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._push is not None:
                await self._push.close()
            if self._traces is not None:
                await asyncio.to_thread(self._traces.close)


@asynccontextmanager
async def observed(settings: TelemetrySettings, part: str = "") -> AsyncIterator[Telemetry | None]:
    """What a process tells with these settings, while it runs; None where that is nothing.

    Raises AddressInUse.
    """
    if settings.is_off:
        yield None
        return
    telemetry = Telemetry.to_endpoint(settings.otlp_endpoint, part=part)
    async with telemetry.running():
        if settings.metrics_port is None:
            yield telemetry
            return
        async with operator_port(
            settings.metrics_host,
            settings.metrics_port,
            telemetry.board,
            telemetry.tell,
        ):
            yield telemetry


def _starting() -> dict[str, Any]:
    return {"ready": False, "process": "starting"}
