"""One task queue in its owner's memory."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.env import Env
from engine.errors import EngineError
from engine.limits import (
    BACKLOG_TASK_COUNT_LOW,
    BACKLOG_TASK_COUNT_MAX,
    POLLER_SEEN_SECONDS_MAX,
    STICKY_LIVENESS_SECONDS,
)
from engine.matching.backlog import Backlog
from engine.matching.task import PollerInfo, QueueKey, TaskRef
from engine.measures import STICKY, Measures

RESTART_SECONDS = 0.2

Refill = Callable[[QueueKey], None]


@dataclass(slots=True, eq=False)
class Poller:
    """A poll of one queue, which has `room` for so many more tasks.

    `ready` is set with the first of its `answers`: from then on it is given only what is already
    on its way, and once it `has_left` nothing at all.
    """

    info: PollerInfo
    room: int
    ready: asyncio.Future[None]
    answers: list[bytes] = field(default_factory=list)
    has_left: bool = False
    is_dismissed: bool = False
    """Whether its worker said that it stops: nobody waits for it to come again."""
    started_count: int = 0

    def starting(self, request_id: str = "") -> PollerInfo:
        """Who starts one more task; `request_id` repeats a start whose outcome is unknown.

        Other starts have each their own: a task that was offered twice would be given twice if the
        second start were taken for the first one repeated.
        """
        self.started_count += 1
        if not request_id:
            if self.started_count == 1:
                return self.info
            request_id = f"{self.info.request_id}.{self.started_count}"
        return PollerInfo(self.info.identity, request_id, self.info.sticky)

    def give(self, answer: bytes) -> None:
        self.answers.append(answer)
        _end(self.ready)


class Starter(Protocol):
    """Starts tasks at the shards of their runs."""

    def start_now(
        self, queue: TaskQueue, poller: Poller, info: PollerInfo, task: TaskRef
    ) -> bool | None:
        """Decide the start and have it delivered to the poller as soon as it is durable.

        False: the task is gone. None: that needs more than this node's memory. Raises EngineError.
        """

    async def start(self, task: TaskRef, poller: PollerInfo) -> bytes:
        """A durably started task as the poll's answer; b"" when it is gone. Raises EngineError."""


class TaskQueue:
    """Matches tasks with pollers; tasks come in their order, pollers take turns.

    `refill` has the shards offer again what waits there, once the head that is kept here runs low.
    A started task whose poller left goes to the next one as it is.
    """

    def __init__(
        self, key: QueueKey, env: Env, starter: Starter, refill: Refill, measures: Measures
    ) -> None:
        self.key = key
        self._measures = measures
        self.is_sticky = False
        """Whether one worker alone polls it, for what it remembers."""
        self._env = env
        self._starter = starter
        self._refill = refill
        self._pollers: OrderedDict[Poller, None] = OrderedDict()
        self._tasks = Backlog()
        self._is_cut = False
        """Whether tasks were left out because too many wait; their shards know of them."""
        self._undelivered: deque[bytes] = deque()
        self._unanswered: dict[TaskRef, str] = {}
        """Request ids of starts that may have happened, of tasks that wait again."""
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @property
    def backlog_count(self) -> int:
        """How many tasks wait here; of a cut backlog there are more."""
        return len(self._tasks) + len(self._undelivered)

    @property
    def oldest_seconds(self) -> float:
        """How long the task that waits longest has waited here."""
        oldest = self._tasks.oldest
        return 0.0 if oldest is None else self._env.monotonic() - oldest

    @property
    def poll_count(self) -> int:
        """How many polls wait."""
        return sum(not poller.ready.done() for poller in self._pollers)

    @property
    def shown_name(self) -> str:
        """Its name where it is counted by."""
        return STICKY if self.is_sticky else self.key.name

    @property
    def is_idle(self) -> bool:
        """Whether forgetting the queue loses nothing."""
        return not (self._pollers or self.backlog_count or self.pollers())

    def pollers(self) -> list[tuple[str, int]]:
        """Identities seen in the last minutes and when (nanoseconds), newest last."""
        oldest = self._env.monotonic() - POLLER_SEEN_SECONDS_MAX
        while self._seen and next(iter(self._seen.values()))[1] < oldest:
            self._seen.popitem(last=False)
        return [(identity, at_ns) for identity, (at_ns, _) in self._seen.items()]

    def is_live(self) -> bool:
        """Whether somebody polls, or did just now: a sticky queue without is abandoned."""
        if any(not poller.ready.done() for poller in self._pollers):
            return True
        if not self._seen:
            return False
        last_seen = next(reversed(self._seen.values()))[1]
        return last_seen > self._env.monotonic() - STICKY_LIVENESS_SECONDS

    def reserve(self) -> Poller | None:
        """Room for a task about to be started, with the poller whose turn it is."""
        while self._pollers:
            poller, _ = self._pollers.popitem(last=False)
            if not poller.ready.done():
                poller.room -= 1
                if poller.room:
                    self._pollers[poller] = None
                return poller
        return None

    def deliver(self, poller: Poller, response: bytes) -> None:
        """Hand out a durably started task, to the next poller if this one left."""
        taker = self.reserve() if poller.has_left else poller
        if taker is None:
            self._undelivered.append(response)
        else:
            taker.give(response)

    def give_back(self, poller: Poller) -> None:
        """The reserved room was not needed."""
        self._release(poller)
        self._match()

    def offer(self, task: TaskRef) -> None:
        """A task looks for a worker; offering it twice is the same as once."""
        if len(self._tasks) >= BACKLOG_TASK_COUNT_MAX:
            self._is_cut = True
        elif self._tasks.add(task, now=self._env.monotonic()) and not self.is_live():
            self._measures.nobody_polls(self.key.namespace_id, self.key.kind, self.shown_name)
        self._match(at_once=True)

    def matched_at_once(self) -> None:
        """A task was given to a poller that waited for it."""
        self._measures.matched_at_once(self.key.namespace_id, self.key.kind, self.shown_name)

    def polled(self, task_count: int) -> None:
        """A poll ended with so many tasks."""
        self._measures.polled(self.key.namespace_id, self.key.kind, self.shown_name, task_count)

    async def poll(self, info: PollerInfo, timeout_seconds: float) -> bytes:
        """The next task's answer, or b"" after the timeout. Cancelling loses no task."""
        ((*answers,),) = await poll(self._env, [(self, 1)], info, timeout_seconds)
        return answers[0] if answers else b""

    def enter(self, info: PollerInfo, room: int, ready: asyncio.Future[None]) -> Poller:
        """A poll begins; `ready` is set when it has something, and by whoever ends it."""
        self.saw(info.identity)
        self.is_sticky = info.sticky
        poller = Poller(info, room, ready)
        self._pollers[poller] = None
        self._match()
        return poller

    def leave(self, poller: Poller) -> None:
        """A poll ended: nothing is given to it any more."""
        poller.has_left = True
        self._pollers.pop(poller, None)

    def give_up(self, poller: Poller) -> None:
        """The client left: the tasks that the poller holds go to the next one."""
        poller.has_left = True
        self._undelivered.extendleft(reversed(poller.answers))
        self._match()

    def saw(self, identity: str) -> None:
        """A worker polls, or did so until now."""
        self._seen[identity] = (self._env.now_ns(), self._env.monotonic())
        self._seen.move_to_end(identity)

    def forget_poller(self, identity: str) -> None:
        """A worker says that it stops: its waiting polls end empty."""
        self._seen.pop(identity, None)
        for poller in self._pollers:
            if poller.info.identity == identity:
                poller.is_dismissed = True
                _end(poller.ready)

    def close(self, error: Exception) -> None:
        """The queue moves to another owner: pollers look for it again."""
        for poller in self._pollers:
            if not poller.ready.done():
                poller.ready.set_exception(error)
        self._pollers.clear()
        self._tasks.clear()
        self._unanswered.clear()

    def _release(self, poller: Poller) -> None:
        poller.room += 1
        if poller.room == 1 and not poller.ready.done():
            self._pollers[poller] = None
            self._pollers.move_to_end(poller, last=False)

    def _match(self, *, at_once: bool = False) -> None:
        while self._tasks or self._undelivered:
            poller = self.reserve()
            if poller is None:
                return
            if self._undelivered:
                self._hand_out(poller)
                continue
            task = self._next_task()
            info = poller.starting(self._unanswered.pop(task, ""))
            try:
                is_started = self._starter.start_now(self, poller, info, task)
            except EngineError:
                is_started = None
            if is_started is None:
                self._env.spawn("start_task", self._begin(poller, info, task))
            elif not is_started:
                self._release(poller)
                continue
            if at_once:
                self.matched_at_once()

    def _hand_out(self, poller: Poller) -> None:
        """Give the reserved poller, which ends with that, as much as it has room for."""
        poller.give(self._undelivered.popleft())
        while poller.room and self._undelivered:
            poller.room -= 1
            poller.give(self._undelivered.popleft())

    async def _begin(self, poller: Poller, info: PollerInfo, task: TaskRef) -> None:
        try:
            response = await self._starter.start(task, info)
        except Exception:
            self._unanswered.setdefault(task, info.request_id)
            self._tasks.add(task, first=True, now=self._env.monotonic())
            # At once again would spin while the shard of the run moves.
            self._env.call_later(RESTART_SECONDS, lambda: self.give_back(poller))
            return
        if response:
            self.deliver(poller, response)
        else:
            self.give_back(poller)

    def _next_task(self) -> TaskRef:
        if self._is_cut and len(self._tasks) <= BACKLOG_TASK_COUNT_LOW:
            self._is_cut = False
            self._refill(self.key)
        return self._tasks.pop()


async def poll(
    env: Env, room: Sequence[tuple[TaskQueue, int]], info: PollerInfo, timeout_seconds: float
) -> list[list[bytes]]:
    """What the queues have first, of each at most as many tasks as named; none after the timeout.

    Cancelling loses no task.
    """
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    pollers = [(queue, queue.enter(info, count, ready)) for queue, count in room]
    timer = env.call_later(timeout_seconds, lambda: _end(ready))
    try:
        await ready
    except BaseException:
        for queue, poller in pollers:
            queue.give_up(poller)
        raise
    finally:
        timer.cancel()
        for queue, poller in pollers:
            queue.leave(poller)
            if not poller.is_dismissed:
                queue.saw(info.identity)
    is_empty = not any(poller.answers for _, poller in pollers)
    for queue, poller in pollers:
        if poller.answers or (is_empty and not poller.is_dismissed):
            queue.polled(len(poller.answers))
    return [poller.answers for _, poller in pollers]


def _end(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
