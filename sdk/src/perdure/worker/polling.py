"""Long polls that go on for ever, and the slots that bound what they bring."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from perdure.exceptions import RPCError, RPCStatusCode
from perdure.protojson import Message
from perdure.transport import Sleep, backoff_seconds

POLL_REFUSED_SECONDS_MAX = 60.0

# Whatever else a poll is answered with will hardly change, so the worker gives up on it in the end.
_PASSING = frozenset(
    {
        RPCStatusCode.ABORTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.DATA_LOSS,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.UNKNOWN,
    }
)
_logger = logging.getLogger("perdure.worker")

Poll = Callable[[], Awaitable[Message]]


class Slots:
    """How many tasks may run at once, and those that do."""

    def __init__(self, count: int) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(count)

    async def reserve(self) -> None:
        """Wait for a free slot and take it."""
        await self._free.acquire()

    def release(self) -> None:
        """Give back a slot that was taken and not used."""
        self._free.release()

    def use(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the work in a slot that was taken, and free it afterwards."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._free.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Handlers report what they can, so this is a defect; the server's timeout covers it.
            _logger.error("task_lost", exc_info=error)


class Outage:
    """Which polls of a worker fail now. They fail together, so it is said once for all of them.

    One that fails once says nothing yet: the server may be about to leave, or have just come.
    """

    def __init__(self) -> None:
        self._failing: set[Poll] = set()
        self._is_told = False

    def failed(self, poll: Poll, error: RPCError) -> None:
        if poll in self._failing and not self._is_told:
            extra = {"status": error.status.name, "reason": error.message}
            _logger.warning("poll_failed", extra=extra)
            self._is_told = True
        self._failing.add(poll)

    def answered(self, poll: Poll) -> bool:
        """Whether this poll failed before."""
        if poll not in self._failing:
            return False
        self._failing.remove(poll)
        if self._is_told and not self._failing:
            _logger.info("poll_recovered")
            self._is_told = False
        return True


async def poll_forever(
    poll: Poll,
    handle: Callable[[Message], Coroutine[Any, Any, None]],
    slots: Slots,
    sleep: Sleep,
    outage: Outage,
) -> None:
    """Poll whenever a slot is free and hand over what comes; ends only by raising.

    An unreachable server is waited for without end. RPCError is raised if polls have been refused
    for another reason for a minute.
    """
    delays, refused_seconds = backoff_seconds(), 0.0
    while True:
        await slots.reserve()
        try:
            task = await poll()
        except RPCError as error:
            slots.release()
            delay = max(next(delays), error.retry_after_seconds or 0)
            if error.status in _PASSING:
                refused_seconds = 0.0
            else:
                refused_seconds += delay
            if refused_seconds > POLL_REFUSED_SECONDS_MAX:
                raise
            outage.failed(poll, error)
            await sleep(delay)
            continue
        except BaseException:
            slots.release()
            raise
        if outage.answered(poll):
            delays, refused_seconds = backoff_seconds(), 0.0
        if task.get("taskToken"):
            slots.use(handle(task))
        else:
            slots.release()
