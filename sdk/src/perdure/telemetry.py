"""Traces and measures for those who ask, as in ``Client.connect(…, telemetry=OpenTelemetry())``.

A trace goes from the client's start through the server to every workflow task and activity. It
travels as W3C ``traceparent``, in the headers of requests and in the header field of workflows and
activities, under the name that the published SDKs use. Headers are stored in clear.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from perdure.converter import JsonPayloadConverter
from perdure.exceptions import DefinitionError
from perdure.protojson import Message

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

HEADER = "_tracer-data"

_CARRYING_COMMANDS = (
    "scheduleActivityTaskCommandAttributes",
    "continueAsNewWorkflowExecutionCommandAttributes",
)
_INSTRUMENTATION = "perdure"

Failed = Callable[[BaseException], None]


class Telemetry:
    """What a client and its workers tell of their work; this one tells nothing."""

    @contextmanager
    def calling(self, what: str, name: str, workflow_id: str) -> Iterator[None]:
        """The time of a client's call, a span named as ``StartWorkflow:Greeting``."""
        yield

    @contextmanager
    def working(
        self, what: str, name: str, header: Message, attributes: Mapping[str, str]
    ) -> Iterator[Failed]:
        """The time of a worker's task; ``header`` are the fields it came with."""
        yield _ignore

    def request_headers(self) -> dict[str, str]:
        """The HTTP headers that make the server's spans children of the current one."""
        return {}

    def header(self) -> Message | None:
        """The header field of a workflow or activity that begins here."""
        return None

    def commands(self, commands: Sequence[Message]) -> list[Message]:
        """The commands, with the header on those that begin something."""
        return list(commands)


class OpenTelemetry(Telemetry):
    """Tells OpenTelemetry; without providers, those that the program has set for all.

    Needs the package ``opentelemetry-api``. Errors are told by their type alone, since their text
    may quote what a codec keeps secret.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        try:
            from opentelemetry import metrics, trace
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise DefinitionError(
                "telemetry needs OpenTelemetry; install the package opentelemetry-api"
            ) from error
        self._tracer = trace.get_tracer(_INSTRUMENTATION, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_INSTRUMENTATION, meter_provider=meter_provider)
        self._seconds = meter.create_histogram(
            "perdure.worker.task.duration", unit="s", description="How long a worker's tasks take."
        )
        self._propagator = TraceContextTextMapPropagator()
        self._shutdowns: list[Callable[[], None]] = []

    @classmethod
    def to_endpoint(cls, url: str, *, service_name: str | None = None) -> OpenTelemetry:
        """Tells an OTLP/HTTP collector, such as ``http://127.0.0.1:4318``, in the background.

        Needs the packages of ``perdure[otlp]``. The program is named by ``service_name`` or the
        variable OTEL_SERVICE_NAME. What is left is sent by ``close`` or when the program ends.
        """
        if urlsplit(url).scheme not in ("http", "https"):
            raise DefinitionError(
                f"{url!r} is no URL of a collector, such as http://127.0.0.1:4318"
            )
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise DefinitionError(
                "telling a collector needs OpenTelemetry's SDK; install perdure[otlp]"
            ) from error
        url = url.rstrip("/")
        resource = Resource.create({} if service_name is None else {"service.name": service_name})
        tracing = TracerProvider(resource=resource)
        spans = OTLPSpanExporter(endpoint=f"{url}/v1/traces")
        tracing.add_span_processor(BatchSpanProcessor(spans))
        measures = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{url}/v1/metrics"))
        metering = MeterProvider([measures], resource=resource)
        telemetry = cls(tracing, metering)
        telemetry._shutdowns = [tracing.shutdown, metering.shutdown]
        return telemetry

    def close(self) -> None:
        """Send what ``to_endpoint`` has not sent yet; what is told later is lost."""
        while self._shutdowns:
            self._shutdowns.pop()()

    @contextmanager
    def calling(self, what: str, name: str, workflow_id: str) -> Iterator[None]:
        from opentelemetry.trace import SpanKind, StatusCode

        with self._tracer.start_as_current_span(
            f"{what}:{name}",
            kind=SpanKind.CLIENT,
            attributes={"perdure.workflow_id": workflow_id},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    @contextmanager
    def working(
        self, what: str, name: str, header: Message, attributes: Mapping[str, str]
    ) -> Iterator[Failed]:
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, StatusCode

        began = time.perf_counter()
        has_failed = False
        # What the worker was started in is no part of the trace that the task belongs to.
        parent = self._propagator.extract(_carrier(header), context=Context())
        with self._tracer.start_as_current_span(
            f"{what}:{name}",
            context=parent,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:

            def failed(error: BaseException) -> None:
                nonlocal has_failed
                has_failed = True
                span.set_status(StatusCode.ERROR, type(error).__name__)

            try:
                yield failed
            finally:
                labels: dict[str, str | bool] = {"task": what, "type": name, "failed": has_failed}
                self._seconds.record(time.perf_counter() - began, labels)

    def request_headers(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier

    def header(self) -> Message | None:
        carrier = self.request_headers()
        return {"fields": {HEADER: JsonPayloadConverter().to_payload(carrier)}} if carrier else None

    def commands(self, commands: Sequence[Message]) -> list[Message]:
        header = self.header()
        return [_with_header(command, header) if header else command for command in commands]


def _ignore(error: BaseException) -> None:
    """Nobody asked."""


def _with_header(command: Message, header: Message) -> Message:
    for field in _CARRYING_COMMANDS:
        if field in command:
            return {**command, field: {**command[field], "header": header}}
    return command


def _carrier(fields: Message) -> dict[str, str]:
    """The trace of a header; what another program wrote there may have any form."""
    try:
        carrier = json.loads(b64decode(fields[HEADER]["data"]))
    except (KeyError, TypeError, ValueError):
        return {}
    if not isinstance(carrier, dict):
        return {}
    return {key: value for key, value in carrier.items() if isinstance(value, str)}
