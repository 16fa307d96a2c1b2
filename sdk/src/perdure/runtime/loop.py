"""The deterministic event loop that workflow code runs on.

Callbacks run in the order they were scheduled, the clock is the workflow's, and a timer is a
command instead of a wait. Tasks and futures hash by creation order, so sets of them
(``asyncio.wait``, ``TaskGroup``) iterate the same way at every replay.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import itertools
import logging
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol, TypeVar, TypeVarTuple

from perdure.exceptions import RestrictedAccessError

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_logger = logging.getLogger("perdure.workflow")


class TimerHost(Protocol):
    """Who makes timers durable, and says when code runs only to be cleaned up."""

    evicting: bool

    def start_timer(self, delay: timedelta, fire: Callable[[], None]) -> Callable[[], None]:
        """Start a timer and return what cancels it."""
        ...


class WorkflowFuture(asyncio.Future[_T]):
    """A future with a hash that is the same at every replay."""

    def __init__(self, loop: WorkflowLoop) -> None:
        super().__init__(loop=loop)
        self._order = loop.next_order()

    def __hash__(self) -> int:
        return self._order

    def __eq__(self, other: object) -> bool:
        return self is other


class WorkflowTask(asyncio.Task[_T]):
    """A task with a hash that is the same at every replay."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, _T],
        loop: WorkflowLoop,
        name: str | None,
        context: contextvars.Context | None,
    ) -> None:
        self._order = loop.next_order()
        # The name is set here since asyncio's own counter is shared by the whole process.
        super().__init__(coro, loop=loop, name=name or f"Task-{self._order}", context=context)

    def __hash__(self) -> int:
        return self._order

    def __eq__(self, other: object) -> bool:
        return self is other


class _WorkflowTimer(asyncio.TimerHandle):
    """A timer handle whose cancellation takes the durable timer back."""

    stop: Callable[[], None] | None = None

    def cancel(self) -> None:
        if not self.cancelled() and self.stop is not None:
            self.stop()
        super().cancel()


ENTERED: list[WorkflowLoop] = []
"""As many as are entered now, in all threads. Mostly none are, which is quick to see."""


class WorkflowLoop(asyncio.AbstractEventLoop):
    """Runs ready callbacks until none is left; never waits."""

    def __init__(self, host: TimerHost) -> None:
        self.host = host
        self.tasks: dict[asyncio.Task[Any], None] = {}
        """Unfinished tasks in order of creation, kept alive by this loop."""
        self._now_seconds = 0.0
        self._ready: collections.deque[asyncio.Handle] = collections.deque()
        self._orders = itertools.count(1)

    def next_order(self) -> int:
        """The next number of a task or future."""
        return next(self._orders)

    def set_time(self, seconds: float) -> None:
        """Move the clock; it never goes back."""
        self._now_seconds = max(self._now_seconds, seconds)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make this the running loop of the current thread."""
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        ENTERED.append(self)
        try:
            yield
        finally:
            ENTERED.pop()
            asyncio._set_running_loop(outer)

    def drain(self) -> None:
        """Run callbacks, also those they schedule, until nothing is ready."""
        while self._ready:
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()

    def time(self) -> float:
        return self._now_seconds

    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = _WorkflowTimer(self._now_seconds + delay, callback, args, self, context)
        duration = timedelta(seconds=delay)
        if duration > timedelta():
            timer.stop = self.host.start_timer(duration, lambda: self._ready.append(timer))
        else:
            self._ready.append(timer)
        return timer

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_later(when - self._now_seconds, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return WorkflowFuture(self)

    def create_task(
        self,
        coro: Any,
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **_options: Any,
    ) -> asyncio.Task[Any]:
        task: WorkflowTask[Any] = WorkflowTask(coro, self, name, context)
        self.tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(task, None)

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Part of the loop's contract with timer handles; nothing to count here."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.host.evicting:
            return
        _logger.warning(
            "workflow_loop_error",
            exc_info=context.get("exception"),
            extra={"reason": context.get("message", "")},
        )

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        raise RestrictedAccessError("threads are not deterministic; call an activity instead")

    def call_soon_threadsafe(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        raise RestrictedAccessError("other threads must not touch a workflow; send a signal")
