"""What a shard hands to one commit, and what waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from engine.cell.loaded_run import LoadedRun
from engine.history.transition import AttemptEnd
from engine.metering.facts import Fact
from engine.persistence.protocols import RunWrite


class TakenRun(NamedTuple):
    """One run's part of a commit; `sequence` is that of its last decision."""

    write: RunWrite
    facts: list[Fact]
    attempt_ends: list[AttemptEnd]
    sequence: int


class Taken(NamedTuple):
    """What a shard hands to a commit: all that was decided up to `sequence`."""

    sequence: int
    runs: list[TakenRun]

    def by_workflow(self) -> list[Taken]:
        """The same, split into parts that may be written apart, in the order of decision."""
        parts: dict[tuple[str, str], list[TakenRun]] = {}
        for run in self.runs:
            parts.setdefault(run.write.key[:2], []).append(run)
        split = [Taken(max(run.sequence for run in runs), runs) for runs in parts.values()]
        return sorted(split, key=lambda part: part.sequence)


class AfterCommit(NamedTuple):
    """What waits for a commit: `action` when it is durable, `undo` when it will never be."""

    sequence: int
    run: LoadedRun
    action: Callable[[], None]
    undo: Callable[[], None] | None
