"""OpenMetrics as a scraper reads it; what is no valid text raises ValueError."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser

# The library has no types for it.
families_of = cast(Callable[[str], Iterable[Metric]], parser.text_string_to_metric_families)
