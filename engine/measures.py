"""What a node counts of its work: plain numbers in memory, read when somebody asks.

They bill nothing and outlive nothing. Two kinds of readers want them: operators get sums since the
start of the node, without any tenant in them; a tenant gets its namespaces' last full minute.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import log
from typing import Literal, NamedTuple

import msgspec

WINDOW_SECONDS = 60

SERIES_PER_WINDOW_MAX = 1_000
"""Per namespace and minute; what comes beyond is counted under `FOLDED`."""

FOLDED = "_other"

STICKY = "__sticky__"
"""Stands for the queues of single workers, whose names are made up at each start of one."""

SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROW_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
BYTE_BOUNDS = tuple(4**power for power in range(4, 13))

_GROWTH = 1.1
"""A latency is known to within a tenth of itself."""
_LOG_GROWTH = log(_GROWTH)
_SECONDS_MIN = 1e-6
_POWER_MIN = round(log(_SECONDS_MIN) / _LOG_GROWTH)

Kind = Literal["workflow", "activity"]
KINDS: tuple[Kind, ...] = ("workflow", "activity")

Series = tuple[str, ...]
"""The name of what is counted, and the values of its labels."""


class Distribution:
    """How often values up to each bound were observed, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Reading(NamedTuple):
    """One number of a node, or of another part of the cloud, as it is now."""

    name: str
    labels: Mapping[str, str]
    value: float | Distribution


class Window(msgspec.Struct, array_like=True):
    """What one namespace did in one minute. `latencies` are counts by power of `_GROWTH`."""

    counts: dict[Series, int] = {}
    latencies: dict[Series, dict[int, int]] = {}
    is_folded: bool = False

    def count(self, series: Series, count: int = 1) -> None:
        counts = self.counts
        known = counts.get(series)
        if known is None:
            if len(counts) >= SERIES_PER_WINDOW_MAX:
                series = self._folded(series)
            known = counts.get(series, 0)
        counts[series] = known + count

    def took(self, series: Series, seconds: float) -> None:
        found = self.latencies.get(series)
        if found is None:
            if len(self.latencies) >= SERIES_PER_WINDOW_MAX:
                series = self._folded(series)
            found = self.latencies.setdefault(series, {})
        power = round(log(seconds) / _LOG_GROWTH) if seconds > _SECONDS_MIN else _POWER_MIN
        found[power] = found.get(power, 0) + 1

    def add(self, other: Window) -> None:
        """Take in what another part of the cell counted in its minute."""
        for series, count in other.counts.items():
            self.count(series, count)
        for series, powers in other.latencies.items():
            found = self.latencies.setdefault(series, {})
            for power, count in powers.items():
                found[power] = found.get(power, 0) + count
        self.is_folded = self.is_folded or other.is_folded

    def _folded(self, series: Series) -> Series:
        self.is_folded = True
        return (series[0], *[FOLDED] * (len(series) - 1))


def percentile(powers: Mapping[int, int], share: float) -> float:
    """The seconds that `share` of the observed did not exceed, to within a tenth of it."""
    left = share * sum(powers.values())
    for power in sorted(powers):
        left -= powers[power]
        if left <= 0:
            break
    return float(_GROWTH**power)


def window_at(monotonic: float) -> int:
    """The number of the minute."""
    return int(monotonic // WINDOW_SECONDS)


class Waiting(msgspec.Struct, array_like=True):
    """The tasks that wait in one task queue, and how long the first of them has."""

    kind: Kind
    queue: str
    task_count: int
    oldest_seconds: float


class NamespaceMeasures(msgspec.Struct, array_like=True):
    """What one node, or all together, tell of a namespace."""

    namespace_id: str
    window: Window
    waiting: list[Waiting]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[NamespaceMeasures])


def encode(told: Sequence[NamespaceMeasures]) -> bytes:
    return _encoder.encode(told)


def decode(told: bytes) -> list[NamespaceMeasures]:
    return _decoder.decode(told)


class Windows:
    """Each namespace's counts of this minute, and of the last full one.

    Nothing has to turn the page: who counts or reads in a new minute finds that it is new.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._number = window_at(monotonic())
        self._now: dict[str, Window] = {}
        self._last: dict[str, Window] = {}

    def of(self, namespace_id: str, now: float | None = None) -> Window:
        """Where to count what happens `now`, for who knows when that is."""
        self._turn(self._monotonic() if now is None else now)
        window = self._now.get(namespace_id)
        if window is None:
            window = self._now[namespace_id] = Window()
        return window

    def last(self, namespace_id: str) -> Window:
        """The last full minute; empty if nothing happened in it."""
        self._turn(self._monotonic())
        return self._last.get(namespace_id) or Window()

    def _turn(self, now: float) -> None:
        number = window_at(now)
        if number != self._number:
            self._last = self._now if number == self._number + 1 else {}
            self._now, self._number = {}, number


SUMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "tasks_delivered": ("kind", KINDS),
    "tasks_matched_at_once": ("kind", KINDS),
    "polls_empty": ("kind", KINDS),
    "shards_lost": ("reason", ("fenced", "store")),
    "runs_evicted": ("", ("",)),
    "store_errors": ("error", ("StoreRejected", "StoreFull", "StoreUnavailable")),
}
"""What `Measures.sums` has: a label and the values that are there, as 0, from the start."""


class Measures:
    """One node's numbers. Whoever counts does it here; nobody waits for anything.

    `is_watched` says that an operator reads or traces: what costs more than an addition waits for
    that.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.is_watched = False
        self.windows = Windows(monotonic)
        self.sums: Counter[tuple[str, str]] = Counter(
            {(name, value): 0 for name, (_, values) in SUMS.items() for value in values}
        )
        self.commit_seconds = Distribution(SECONDS_BOUNDS)
        self.commit_rows = Distribution(ROW_BOUNDS)
        self.commit_bytes = Distribution(BYTE_BOUNDS)
        self.timer_lag_seconds = Distribution(SECONDS_BOUNDS)

    def polled(self, namespace_id: str, kind: Kind, queue: str, task_count: int) -> None:
        """A poll of a queue ended with so many tasks."""
        name = "poll_success" if task_count else "poll_timeout"
        self.windows.of(namespace_id).count((name, kind, queue), task_count or 1)
        if task_count:
            self.sums["tasks_delivered", kind] += task_count
        else:
            self.sums["polls_empty", kind] += 1

    def matched_at_once(self, namespace_id: str, kind: Kind, queue: str) -> None:
        """A task found a poller that waited."""
        self.windows.of(namespace_id).count(("poll_success_sync", kind, queue))
        self.sums["tasks_matched_at_once", kind] += 1

    def nobody_polls(self, namespace_id: str, kind: Kind, queue: str) -> None:
        """A task came to a queue that no worker polls."""
        self.windows.of(namespace_id).count(("no_poller_tasks", kind, queue))

    def readings(self) -> Iterator[Reading]:
        """The sums since the start of the node."""
        for (name, value), count in self.sums.items():
            label = SUMS[name][0]
            yield Reading(name, {label: value} if label else {}, count)
        yield Reading("commit_duration_seconds", {}, self.commit_seconds)
        yield Reading("commit_rows", {}, self.commit_rows)
        yield Reading("commit_bytes", {}, self.commit_bytes)
        yield Reading("timer_lag_seconds", {}, self.timer_lag_seconds)
