"""One namespace's numbers as points of the families that customers know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from api.metrics.families import FAMILIES, Family, Measures
from billing.actions import BY_FACT_KIND
from engine.measures import FOLDED, WINDOW_SECONDS, Series, Waiting, Window, percentile

SERIES_MAX = 100
"""Of one metric and namespace."""

POLL_OPERATIONS = {"workflow": "PollWorkflowTaskQueue", "activity": "PollActivityTaskQueue"}


class Point(NamedTuple):
    """`labels` are the values of the family's labels."""

    family: Family
    labels: tuple[str, ...]
    value: float


class NamespacePoints:
    """Gathers what the door and the cell know; `is_limited` says whether all of it is told."""

    def __init__(self) -> None:
        self.is_limited = False
        self._values: dict[Series, float] = {}
        self._windows: list[Window] = []

    def add_window(self, window: Window) -> None:
        """A minute; Actions are told by their names."""
        self._windows.append(window)
        self.is_limited = self.is_limited or window.is_folded

    def add_pending(self, pending: Mapping[str, int]) -> None:
        self._values |= {("service_pending", name): count for name, count in pending.items()}

    def add_waiting(self, waiting: Iterable[Waiting]) -> None:
        for queue in waiting:
            self._values["backlog", queue.kind, queue.queue] = queue.task_count
            self._values["backlog_age", queue.kind, queue.queue] = queue.oldest_seconds

    def add_open_workflows(self, count: int) -> None:
        self._values["open_workflows",] = count

    def points(self, wanted: Iterable[Family] = FAMILIES) -> Iterator[Point]:
        """Labels of a series that its family has not are added up over."""
        rates: Counter[Series] = Counter()
        latencies: dict[Series, dict[int, int]] = {}
        for window in self._windows:
            for series, count in window.counts.items():
                for name, counted in _as_told(series, count):
                    rates[name] += counted
            latencies |= window.latencies
        for series, powers in latencies.items():
            if series[0] == "service_latency":
                # The door counts a call once, with how long it took.
                rates["service_request", *series[1:]] += sum(powers.values())
        for family in wanted:
            if family.measures is Measures.PERCENTILE:
                yield from self._percentiles(family, latencies)
                continue
            is_rate = family.measures is Measures.RATE
            numbers = rates if is_rate else self._values
            scale = WINDOW_SECONDS if is_rate else 1
            for labels, number in self._largest(family, numbers):
                yield Point(family, labels, number / scale)

    def _percentiles(
        self, family: Family, latencies: Mapping[Series, Mapping[int, int]]
    ) -> Iterator[Point]:
        """Percentiles of several series cannot be added up: of too many the busiest are told."""
        found: dict[tuple[str, ...], Counter[int]] = {}
        for series, powers in latencies.items():
            if series[0] == family.series:
                found.setdefault(_labels(family, series), Counter()).update(powers)
        busiest = sorted(found.items(), key=lambda told: -told[1].total())
        self.is_limited = self.is_limited or len(found) > SERIES_MAX
        for labels, powers in busiest[:SERIES_MAX]:
            yield Point(family, labels, percentile(powers, family.share))

    def _largest(
        self, family: Family, numbers: Mapping[Series, float]
    ) -> Iterator[tuple[tuple[str, ...], float]]:
        found: dict[tuple[str, ...], float] = {}
        for series, number in numbers.items():
            if series[0] == family.series:
                labels = _labels(family, series)
                found[labels] = found.get(labels, 0) + number
        if len(found) > SERIES_MAX:
            self.is_limited = True
            # Ages do not add up: the rest is as old as the oldest of it.
            fold = max if family.name.endswith("_seconds") else sum
            found = _folded(sorted(found.items(), key=lambda told: -told[1]), fold)
        yield from found.items()


def _labels(family: Family, series: Series) -> tuple[str, ...]:
    return series[1 : 1 + len(family.labels)]


def _folded(
    largest_first: Sequence[tuple[tuple[str, ...], float]],
    fold: Callable[[Iterable[float]], float],
) -> dict[tuple[str, ...], float]:
    told = dict(largest_first[:SERIES_MAX])
    other = (FOLDED,) * len(largest_first[0][0])
    rest = [number for _, number in largest_first[SERIES_MAX:]]
    told[other] = fold([told.get(other, 0.0), *rest])
    return told


def _as_told(series: Series, count: int) -> Iterator[tuple[Series, int]]:
    """A series under the names and labels of the families that it is part of."""
    name, *labels = series
    if name == "action":
        kind, workflow_type = labels
        action = BY_FACT_KIND.get(kind)
        if kind != FOLDED and action is None:
            return
        actions = count * (1 if action is None else action.actions_per_fact)
        yield ("total_action", "false", "active"), actions
        yield ("billable_action", FOLDED if action is None else action.name, workflow_type), actions
    elif name.startswith("poll_"):
        yield (*series, POLL_OPERATIONS.get(labels[0], FOLDED)), count
    else:
        yield series, count
