"""Tasks that wait for a worker, in the order in which they are handed out.

Lower priority keys come first. Within one, fairness keys take turns in proportion to their
weights; within one of those it is first come, first served.
"""

from __future__ import annotations

import heapq
from collections import deque
from functools import lru_cache
from itertools import count
from typing import NamedTuple

from temporalio.api.common.v1 import Priority

from engine.matching.task import TaskRef

PRIORITY_DEFAULT = 3
WEIGHT_DEFAULT = 1.0
CACHED_PRIORITIES_MAX = 4_096


class Place(NamedTuple):
    """Where in the order a task belongs."""

    priority: int = PRIORITY_DEFAULT
    fairness_key: str = ""
    weight: float = WEIGHT_DEFAULT


class Backlog:
    """Holds each task once. `pop` is undefined on an empty backlog."""

    def __init__(self) -> None:
        self._held: dict[TaskRef, float] = {}
        self._turns: dict[int, _Turns] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def oldest(self) -> float | None:
        """Since when the task that waits longest does, None if there is none."""
        return min(self._held.values(), default=None)

    def add(self, task: TaskRef, *, first: bool = False, now: float = 0.0) -> bool:
        """Have the task wait; `first` puts it before all of its fairness key.

        False if it waits already.
        """
        if task in self._held:
            return False
        self._held[task] = now
        place = place_of(task.priority)
        turns = self._turns.get(place.priority)
        if turns is None:
            turns = self._turns[place.priority] = _Turns()
        turns.add(task, place, first=first)
        return True

    def pop(self) -> TaskRef:
        """The task whose turn it is."""
        priority = min(self._turns)
        turns = self._turns[priority]
        task = turns.pop()
        if not turns:
            del self._turns[priority]
        del self._held[task]
        return task

    def clear(self) -> None:
        self._held.clear()
        self._turns.clear()


class _Turns:
    """The tasks of one priority: each fairness key has a time, and the earliest is next."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[TaskRef]] = {}
        self._times: list[tuple[float, int, str]] = []
        self._order = count()
        self._now = 0.0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, task: TaskRef, place: Place, *, first: bool) -> None:
        waiting = self._waiting.get(place.fairness_key)
        if waiting is None:
            waiting = self._waiting[place.fairness_key] = deque()
            heapq.heappush(self._times, (self._now, next(self._order), place.fairness_key))
        if first:
            waiting.appendleft(task)
        else:
            waiting.append(task)

    def pop(self) -> TaskRef:
        self._now, _, key = heapq.heappop(self._times)
        waiting = self._waiting[key]
        task = waiting.popleft()
        if waiting:
            # A key of twice the weight comes again after half the time.
            again = self._now + 1 / place_of(task.priority).weight
            heapq.heappush(self._times, (again, next(self._order), key))
        else:
            del self._waiting[key]
        return task


@lru_cache(maxsize=CACHED_PRIORITIES_MAX)
def place_of(priority: bytes) -> Place:
    """Reads a serialized `Priority` with the defaults filled in."""
    if not priority:
        return Place()
    given = Priority.FromString(priority)
    return Place(
        given.priority_key or PRIORITY_DEFAULT,
        given.fairness_key,
        given.fairness_weight or WEIGHT_DEFAULT,
    )
