"""Families of series as OpenMetrics, the text that scrapers read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, cast

from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition


class Collected(Protocol):
    def collect(self) -> Iterable[Metric]: ...


CONTENT_TYPE = exposition.CONTENT_TYPE_LATEST

# The library has no types for it.
openmetrics = cast(Callable[[Collected], bytes], exposition.generate_latest)
