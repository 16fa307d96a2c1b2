"""How much a shard's runs hold in memory, and which of them leave it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from engine.cell.loaded_run import LoadedRun
from engine.limits import CACHED_RUN_BYTES_MAX, CACHED_RUN_COUNT_MAX
from engine.measures import Measures


class Memory:
    """Adds up the bytes of the runs that it is told of, as they were when it was told last."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self._counts: dict[LoadedRun, int] = {}
        self._bytes = 0

    @property
    def size(self) -> tuple[int, int]:
        """How many runs, and the bytes that they hold."""
        return len(self._counts), self._bytes

    def note(self, run: LoadedRun) -> None:
        """The run is in memory, or holds something else now."""
        held = run.held_bytes
        self._bytes += held - self._counts.get(run, 0)
        self._counts[run] = held

    def forget(self, run: LoadedRun) -> None:
        self._bytes -= self._counts.pop(run, 0)

    def surplus(
        self, runs: Collection[LoadedRun], is_idle: Callable[[LoadedRun], bool]
    ) -> list[LoadedRun]:
        """Which of `runs` have to leave, the longest unused first; those not idle may not."""
        count = len(runs) - CACHED_RUN_COUNT_MAX
        size = self._bytes - CACHED_RUN_BYTES_MAX
        leaving: list[LoadedRun] = []
        if count <= 0 and size <= 0:
            return leaving
        for run in runs:
            if is_idle(run):
                leaving.append(run)
                count -= 1
                size -= self._counts.get(run, 0)
                if count <= 0 and size <= 0:
                    break
        self._measures.sums["runs_evicted", ""] += len(leaving)
        return leaving
