"""Windows: what was measured, which of it counts, and the median of what counts."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median

FOREIGN_SHARE_MAX = 0.12
CLEAN_WINDOWS_MIN = 3


@dataclass(frozen=True)
class Plan:
    """How long a run measures, whether its worker keeps to the published RPCs, and whether the
    product's parts are processes of their own.

    `sustained_seconds` is what the windows on a server add up to at least.
    """

    concurrencies: tuple[int, ...]
    window_seconds: float
    rounds_max: int
    sustained_seconds: float
    published: bool = False
    has_processes: bool = False

    @property
    def worker(self) -> str:
        """How the worker gets its tasks, as records say it."""
        return "published polls" if self.published else "PollTasks and CompleteTasks"

    def window_seconds_for(self, load_count: int) -> float:
        """How long a window is where a server is measured under this many loads."""
        window_count = load_count * CLEAN_WINDOWS_MIN
        return max(self.window_seconds, self.sustained_seconds / window_count)

    @classmethod
    def full(cls) -> Plan:
        return cls((1, 16, 64, 256), window_seconds=5.0, rounds_max=8, sustained_seconds=60)

    @classmethod
    def quick(cls) -> Plan:
        return cls((64,), window_seconds=0.8, rounds_max=4, sustained_seconds=4)


@dataclass(frozen=True)
class Window:
    """One stretch of load on one server. Latencies are in seconds, one per finished operation."""

    seconds: float
    count: int
    latencies: Sequence[float]
    server_cpu_seconds: float
    client_cpu_seconds: float
    foreign_share: float

    @property
    def clean(self) -> bool:
        return self.count > 0 and self.foreign_share <= FOREIGN_SHARE_MAX


@dataclass(frozen=True)
class Summary:
    """Medians over the windows that count."""

    rate_per_s: float
    p50_ms: float
    p99_ms: float
    server_cpu_s_per_1000: float
    client_cpu_s_per_1000: float
    foreign_share: float
    clean_windows: int
    windows: int
    measured_seconds: float


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed (nearest rank)."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def summarise(windows: Sequence[Window]) -> Summary:
    """Medians of the clean windows.

    With no clean window the least disturbed one stands in, and `clean_windows` is 0.
    """
    clean = [window for window in windows if window.clean]
    used = clean or [min(windows, key=lambda window: window.foreign_share)]

    def middle(value: Callable[[Window], float]) -> float:
        return median(value(window) for window in used)

    return Summary(
        rate_per_s=middle(lambda window: window.count / window.seconds),
        p50_ms=middle(lambda window: percentile(window.latencies, 0.50) * 1e3),
        p99_ms=middle(lambda window: percentile(window.latencies, 0.99) * 1e3),
        server_cpu_s_per_1000=middle(lambda w: w.server_cpu_seconds / max(w.count, 1) * 1e3),
        client_cpu_s_per_1000=middle(lambda w: w.client_cpu_seconds / max(w.count, 1) * 1e3),
        foreign_share=middle(lambda window: window.foreign_share),
        clean_windows=len(clean),
        windows=len(windows),
        measured_seconds=sum(window.seconds for window in windows),
    )


Measure = Callable[[], Awaitable[Window]]


async def in_turns(measures: Sequence[Measure], rounds_max: int) -> list[Summary]:
    """Measure each in turn until each has enough clean windows or the rounds are used up.

    Taking turns puts the product and the floor under the same weather.
    """
    taken: list[list[Window]] = [[] for _ in measures]
    for _ in range(rounds_max):
        for windows, measure in zip(taken, measures, strict=True):
            if sum(window.clean for window in windows) < CLEAN_WINDOWS_MIN:
                windows.append(await measure())
    return [summarise(windows) for windows in taken]
