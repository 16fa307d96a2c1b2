"""One task queue in its owner's memory."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.env import Env
from engine.limits import (
    BACKLOG_TASK_COUNT_LOW,
    BACKLOG_TASK_COUNT_MAX,
    POLLER_SEEN_SECONDS_MAX,
    STICKY_LIVENESS_SECONDS,
)
from engine.matching.backlog import Backlog
from engine.matching.task import PollerInfo, QueueKey, QueueKind, TaskRef

RESTART_SECONDS = 0.2

Start = Callable[[TaskRef, PollerInfo], Awaitable[bytes]]
Refill = Callable[[QueueKey], None]


@dataclass(slots=True)
class Poller:
    """A worker that waits; `answer` becomes the response's bytes."""

    info: PollerInfo
    answer: asyncio.Future[bytes]


class TaskQueue:
    """Matches tasks with pollers, first come first served on both sides.

    `start` asks the run's shard for the task's durable start and the poll's answer; it returns
    b"" for a task that is gone. `refill` has the shards offer again what waits there, once the
    head that is kept here runs low. A started task whose poller left goes to the next one as it is.
    """

    def __init__(self, key: QueueKey, env: Env, start: Start, refill: Refill) -> None:
        self.key = key
        self.is_sticky = False
        """Whether one worker alone polls it, for what it remembers."""
        self._env = env
        self._start = start
        self._refill = refill
        self._pollers: deque[Poller] = deque()
        self._tasks = Backlog()
        self._is_cut = False
        """Whether tasks were left out because too many wait; their shards know of them."""
        self._undelivered: deque[bytes] = deque()
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @property
    def backlog_count(self) -> int:
        """How many tasks wait here; of a cut backlog there are more."""
        return len(self._tasks) + len(self._undelivered)

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
        if any(not poller.answer.done() for poller in self._pollers):
            return True
        if not self._seen:
            return False
        last_seen = next(reversed(self._seen.values()))[1]
        return last_seen > self._env.monotonic() - STICKY_LIVENESS_SECONDS

    def reserve(self) -> Poller | None:
        """The poller that waits longest, taken out for a task about to be started."""
        while self._pollers:
            poller = self._pollers.popleft()
            if not poller.answer.done():
                return poller
        return None

    def deliver(self, poller: Poller, response: bytes) -> None:
        """Hand out a durably started task, to the next poller if this one left."""
        taker: Poller | None = poller
        while taker is not None:
            if not taker.answer.done():
                taker.answer.set_result(response)
                return
            taker = self.reserve()
        self._undelivered.append(response)

    def give_back(self, poller: Poller) -> None:
        """The reserved poller got nothing: it is the first in line again."""
        if not poller.answer.done():
            self._pollers.appendleft(poller)
            self._match()

    def offer(self, task: TaskRef) -> None:
        """A task looks for a worker; offering it twice is the same as once."""
        if len(self._tasks) < BACKLOG_TASK_COUNT_MAX:
            self._tasks.add(task)
        else:
            self._is_cut = True
        self._match()

    async def poll(self, info: PollerInfo, timeout_seconds: float) -> bytes:
        """The next task's answer, or b"" after the timeout. Cancelling loses no task."""
        poller = self._enter(info)
        timer = self._env.call_later(timeout_seconds, lambda: _expire(poller))
        try:
            return await poller.answer
        except asyncio.CancelledError:
            self._give_up(poller)
            raise
        finally:
            timer.cancel()
            self._saw(info.identity)

    async def take(self, pollers: Sequence[PollerInfo]) -> list[bytes]:
        """What waits now, at most one task for each of `pollers`. Cancelling loses no task."""
        taken: list[Poller] = []
        for info in pollers:
            if not self.backlog_count:
                break
            poller = Poller(info, asyncio.get_running_loop().create_future())
            taken.append(poller)
            if self._undelivered:
                poller.answer.set_result(self._undelivered.popleft())
            else:
                task = self._next_task()
                self._env.spawn("start_task", self._begin(poller, task, once=True))
        try:
            answers = [await poller.answer for poller in taken]
        except asyncio.CancelledError:
            for poller in taken:
                self._give_up(poller)
            raise
        return [answer for answer in answers if answer]

    def forget_poller(self, identity: str) -> None:
        """A worker says that it stops: its waiting polls end empty."""
        self._seen.pop(identity, None)
        for poller in self._pollers:
            if poller.info.identity == identity:
                _expire(poller)

    def close(self, error: Exception) -> None:
        """The queue moves to another owner: pollers look for it again."""
        while (poller := self.reserve()) is not None:
            poller.answer.set_exception(error)
        self._tasks.clear()

    def _enter(self, info: PollerInfo) -> Poller:
        self._saw(info.identity)
        self.is_sticky = info.sticky
        poller = Poller(info, asyncio.get_running_loop().create_future())
        self._pollers.append(poller)
        self._match()
        return poller

    def _give_up(self, poller: Poller) -> None:
        """The client left: a task that the poller holds goes to the next one."""
        answer = poller.answer
        if answer.cancel() or answer.cancelled() or answer.exception() or not answer.result():
            return
        taker = self.reserve()
        if taker is None:
            self._undelivered.appendleft(answer.result())
        else:
            self.deliver(taker, answer.result())

    def _match(self) -> None:
        while self._tasks or self._undelivered:
            poller = self.reserve()
            if poller is None:
                return
            if self._undelivered:
                poller.answer.set_result(self._undelivered.popleft())
            else:
                task = self._next_task()
                self._env.spawn("start_task", self._begin(poller, task))

    async def _begin(self, poller: Poller, task: TaskRef, *, once: bool = False) -> None:
        """Start `task` for the poller; `once` ends its poll where the task is gone."""
        try:
            response = await self._start(task, poller.info)
        except Exception:
            self._tasks.add(task, first=True)
            if once:
                _expire(poller)
            # At once again would spin while the shard of the run moves.
            self._env.call_later(RESTART_SECONDS, lambda: self.give_back(poller))
            return
        if response:
            self.deliver(poller, response)
        elif once:
            _expire(poller)
        else:
            self.give_back(poller)

    def _next_task(self) -> TaskRef:
        if self._is_cut and len(self._tasks) <= BACKLOG_TASK_COUNT_LOW:
            self._is_cut = False
            self._refill(self.key)
        return self._tasks.pop()

    def _saw(self, identity: str) -> None:
        self._seen[identity] = (self._env.now_ns(), self._env.monotonic())
        self._seen.move_to_end(identity)


async def poll_any(
    env: Env, queues: Mapping[QueueKind, TaskQueue], info: PollerInfo, timeout_seconds: float
) -> dict[QueueKind, bytes]:
    """The first task of any of the queues; both where two came at once."""
    first: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(_: object = None) -> None:
        if not first.done():
            first.set_result(None)

    pollers = {kind: queue._enter(info) for kind, queue in queues.items()}
    for poller in pollers.values():
        poller.answer.add_done_callback(end)
    timer = env.call_later(timeout_seconds, end)
    try:
        await first
    except asyncio.CancelledError:
        for kind, poller in pollers.items():
            queues[kind]._give_up(poller)
        raise
    finally:
        timer.cancel()
    # A poller that got nothing leaves here; a task on its way to it goes to the next one.
    return {
        kind: poller.answer.result()
        for kind, poller in pollers.items()
        if not poller.answer.cancel() and poller.answer.result()
    }


def _expire(poller: Poller) -> None:
    if not poller.answer.done():
        poller.answer.set_result(b"")
