"""All numbers of a process in one place, read when somebody looks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from api.telemetry.exposition import openmetrics
from api.telemetry.instruments import INSTRUMENTS, Instrument, Type
from engine.measures import SECONDS_BOUNDS, Distribution, Reading

LOOP_LAG_SECONDS = 0.5

Source = Callable[[], Iterable[Reading]]


class Board:
    """Knows who has readings. A reading that `INSTRUMENTS` does not list is a defect."""

    def __init__(self) -> None:
        self._sources: list[Source] = [self._own]
        self._process = ProcessCollector(registry=None)
        self._loop_lag = Distribution(SECONDS_BOUNDS)

    def add(self, source: Source) -> None:
        self._sources.append(source)

    def collect(self) -> Iterator[Metric]:
        """Families of series, with what each is now."""
        families: dict[str, Metric] = {}
        for source in self._sources:
            for reading in source():
                family = families.get(reading.name)
                if family is None:
                    family = families[reading.name] = _family(INSTRUMENTS[reading.name])
                _put(family, reading)
        yield from families.values()
        yield from self._process.collect()

    def text(self) -> bytes:
        """The same as OpenMetrics."""
        return openmetrics(self)

    async def watch_loop(self) -> None:
        """Note how late the event loop is, for ever."""
        while True:
            due = time.monotonic() + LOOP_LAG_SECONDS
            await asyncio.sleep(LOOP_LAG_SECONDS)
            self._loop_lag.observe(max(0.0, time.monotonic() - due))

    def _own(self) -> Iterator[Reading]:
        yield Reading("event_loop_lag_seconds", {}, self._loop_lag)


def _family(instrument: Instrument) -> Metric:
    name, told, labels = instrument.full_name, instrument.help, instrument.labels
    if instrument.type is Type.COUNTER:
        return CounterMetricFamily(name, told, labels=labels)
    if instrument.type is Type.GAUGE:
        return GaugeMetricFamily(name, told, labels=labels)
    return HistogramMetricFamily(name, told, labels=labels)


def _put(family: Metric, reading: Reading) -> None:
    instrument = INSTRUMENTS[reading.name]
    values = [reading.labels[label] for label in instrument.labels]
    if isinstance(family, HistogramMetricFamily):
        assert isinstance(reading.value, Distribution), reading.name
        family.add_metric(values, *_buckets(reading.value))
    else:
        assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
        assert not isinstance(reading.value, Distribution), reading.name
        family.add_metric(values, reading.value)


def _buckets(told: Distribution) -> tuple[list[tuple[str, float]], float]:
    """As the format has them: each bucket has all below it, too."""
    buckets: list[tuple[str, float]] = []
    count = 0
    for bound, in_bucket in zip((*told.bounds, float("inf")), told.counts, strict=True):
        count += in_bucket
        buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), count))
    return buckets, told.total
