"""The numbers of a process, pushed to an OTLP/HTTP collector under the names that a scrape has."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from typing import cast

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import core

from api.telemetry.board import Board

logger = logging.getLogger(__name__)

PUSH_SECONDS = 15.0

_CUMULATIVE = AggregationTemporality.CUMULATIVE
_NOT_KEPT = cast(float, None)
"""The protocol lets a histogram leave out its extremes; the class that stands for it does not."""


class Push:
    """Sends what a board has, again and again; a collector that is away is told the next time."""

    def __init__(self, board: Board, exporter: MetricExporter, resource: Resource) -> None:
        self._board = board
        self._exporter = exporter
        self._resource = resource
        self._began_ns = time.time_ns()
        self._is_failing = False

    async def run(self) -> None:
        while True:
            await asyncio.sleep(PUSH_SECONDS)
            await self.once()

    async def once(self) -> None:
        # Read here, on the loop that the numbers belong to, and sent from a thread.
        data = self._data()
        result = await asyncio.to_thread(self._exporter.export, data)
        is_failing = result is not MetricExportResult.SUCCESS
        if is_failing and not self._is_failing:
            logger.warning("metrics_not_pushed")
        self._is_failing = is_failing

    async def close(self) -> None:
        await self.once()
        await asyncio.to_thread(self._exporter.shutdown)

    def _data(self) -> MetricsData:
        scope = InstrumentationScope("perdure")
        metrics = list(_metrics(self._board.collect(), self._began_ns, time.time_ns()))
        scopes = [ScopeMetrics(scope, metrics, "")]
        return MetricsData([ResourceMetrics(self._resource, scopes, "")])


def _metrics(families: Iterable[core.Metric], began_ns: int, now_ns: int) -> Iterator[Metric]:
    for family in families:
        if not family.samples:
            continue
        data: Sum | Gauge | Histogram
        if family.type == "histogram":
            data = Histogram(list(_histogram(family, began_ns, now_ns)), _CUMULATIVE)
        else:
            points = [
                NumberDataPoint(sample.labels, began_ns, now_ns, sample.value)
                for sample in family.samples
            ]
            is_sum = family.type == "counter"
            data = Sum(points, _CUMULATIVE, is_monotonic=True) if is_sum else Gauge(points)
        yield Metric(family.name, family.documentation, "", data)


def _histogram(family: core.Metric, began_ns: int, now_ns: int) -> Iterator[HistogramDataPoint]:
    """One point for each set of labels. A bucket here has what is in it alone."""
    bounds: list[float] = []
    counts: list[int] = []
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            bounds.append(float(sample.labels["le"]))
            counts.append(int(sample.value))
        elif sample.name.endswith("_sum"):
            pairs = zip(counts, [0, *counts], strict=False)
            yield HistogramDataPoint(
                sample.labels,
                began_ns,
                now_ns,
                count=counts[-1],
                sum=sample.value,
                bucket_counts=[count - below for count, below in pairs],
                explicit_bounds=bounds[:-1],
                min=_NOT_KEPT,
                max=_NOT_KEPT,
            )
            bounds, counts = [], []
