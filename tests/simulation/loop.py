"""A deterministic asyncio event loop: virtual time, seeded interleaving, hosts that crash.

One seed is one execution. The loop never sleeps and does no I/O: when nothing is ready it jumps
to the next timer, and when there is none it reports a deadlock instead of hanging. Every callback
belongs to the host (a simulated process) whose code asked for it, found through the context that
asyncio copies anyway, so that a host can be killed or stopped between any two callbacks.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import heapq
import random
import zlib
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

STEP_COUNT_MAX = 2_000_000
PRUNE_TASK_COUNT_MIN = 256
STEP_CHECK_MASK = 0x3FF


class SimulationError(Exception):
    """The simulated system cannot go on; the message says where it stood."""


class Deadlock(SimulationError):
    """Nothing is ready, no timer is set, and the main task has not ended."""


class StepLimit(SimulationError):
    """More callbacks ran than a seed is allowed: a livelock, or too large a seed."""


class Host:
    """One life of a simulated process; a restart is a new `Host` of the same name."""

    __slots__ = ("context", "name", "parked", "running", "state")

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = "up"
        self.running = True
        self.parked: list[asyncio.Handle] = []
        self.context = contextvars.Context()
        self.context.run(_host.set, self)

    @property
    def alive(self) -> bool:
        return self.state != "dead"

    def new_context(self) -> contextvars.Context:
        """A context that says nothing but whose code runs in it."""
        return self.context.copy()

    def run(self, call: Callable[..., T], *args: Any) -> T:
        """Calls `call` as code of this host, from code of another or of none."""
        return self.new_context().run(call, *args)


_host: contextvars.ContextVar[Host | None] = contextvars.ContextVar("host", default=None)
_world = contextvars.Context()


def current_host() -> Host | None:
    """The host whose code is running; None for the world around them."""
    return _host.get()


class SimLoop(asyncio.BaseEventLoop):
    """Runs callbacks one at a time in an order drawn from `seed`.

    `trace` is a hash over every step's number, callback name and virtual time: two runs of one
    seed that differ anywhere differ in it. With `in_order` callbacks run first come, first
    served as in asyncio itself; the order of simultaneous timers is asyncio's then too.
    """

    _ready: deque[Any]
    _scheduled: list[Any]

    def __init__(
        self, seed: int | str, *, in_order: bool = False, step_count_max: int = STEP_COUNT_MAX
    ) -> None:
        super().__init__()
        self.step_count = 0
        self.failures: list[str] = []
        self._step_count_max = step_count_max
        self._virtual_time = 0.0
        self._draw = random.Random(f"{seed}/loop").random
        self._in_order = in_order
        self._trace = 0
        self._name_hashes: dict[str, int] = {}
        self._all_tasks: list[asyncio.Task[Any]] = []
        self._prune_at = PRUNE_TASK_COUNT_MIN

    @property
    def trace(self) -> str:
        return f"{self._trace & 0xFFFFFFFFFFFFFFFF:016x}"

    def time(self) -> float:
        return self._virtual_time

    def run_forever(self) -> None:
        if self.is_closed():
            raise SimulationError("the loop is closed")
        events._set_running_loop(self)
        try:
            self._run_until_stopping()
        finally:
            self._stopping = False
            events._set_running_loop(None)

    def _run_until_stopping(self) -> None:
        ready, draw, in_order = self._ready, self._draw, self._in_order
        name_hashes, step, task_type = self._name_hashes, self.step_count, asyncio.Task
        while not self._stopping:
            if not ready:
                self._advance()
            count = len(ready)
            if count > 1 and not in_order:
                index = int(draw() * count)
                ready[0], ready[index] = ready[index], ready[0]
            handle = ready.popleft()
            if handle._cancelled:
                continue
            host = handle._context.get(_host)
            if host is not None and not host.running:
                if host.state == "paused":
                    host.parked.append(handle)
                continue
            callback = handle._callback
            owner = getattr(callback, "__self__", None)
            name = owner.get_name() if type(owner) is task_type else _name_of(callback)
            if (name_hash := name_hashes.get(name)) is None:
                name_hash = name_hashes[name] = zlib.crc32(name.encode())
            step += 1
            self._trace = hash((self._trace, name_hash, step))
            if not step & STEP_CHECK_MASK:
                self._check_step_count(step, name)
            handle._run()
            self.step_count = step

    def _check_step_count(self, step: int, name: str) -> None:
        if step > self._step_count_max:
            raise StepLimit(f"{step} steps at {self._virtual_time:.3f} s, last {name}")

    def _advance(self) -> None:
        """Moves the clock to the next timer and makes all that are due then ready.

        Timers set for now or earlier wait until nothing is ready, so the clock, and with it the
        order of timers, only ever moves here.
        """
        timers, ready = self._scheduled, self._ready
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
        if not timers:
            waiting = sorted(t.get_name() for t in self._all_tasks if not t.done())
            raise Deadlock(f"at {self._virtual_time:.3f} s; waiting: {', '.join(waiting)}")
        now = self._virtual_time = max(self._virtual_time, timers[0]._when)
        self._trace = hash((self._trace, int(now * 1e9)))
        while timers and timers[0]._when <= now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            ready.append(timer)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[T]:
        """Also keeps the task referenced, so that none is collected at an arbitrary step."""
        task = asyncio.Task(coro, loop=self, name=name or _name_of(coro), context=context)
        self._all_tasks.append(task)
        if len(self._all_tasks) > self._prune_at:
            self._all_tasks = [task for task in self._all_tasks if not task.done()]
            self._prune_at = max(PRUNE_TASK_COUNT_MIN, 2 * len(self._all_tasks))
        return task

    def outside(
        self, delay: float, callback: Callable[..., object], *args: Any
    ) -> asyncio.TimerHandle:
        """`call_later` for what belongs to no host: a message in flight outlives its sender."""
        return self.call_later(delay, callback, *args, context=_world)

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """There are no threads: the call runs now, its result arrives as a callback."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.failures.append(f"{context.get('message')}: {error!r}")

    def kill(self, host: Host) -> None:
        """The process is gone: nothing of it runs again, no clean-up, no goodbye."""
        host.state, host.running = "dead", False
        host.parked.clear()

    def pause(self, host: Host) -> None:
        """The process stands still: its callbacks pile up until `resume`."""
        if host.state == "up":
            host.state, host.running = "paused", False

    def resume(self, host: Host) -> None:
        if host.state == "paused":
            host.state, host.running = "up", True
            self._ready.extend(host.parked)
            host.parked.clear()

    def bury(self) -> None:
        """Ends what still waits, without running it, and closes the loop."""
        for task in self._all_tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                coro = task.get_coro()
                with contextlib.suppress(BaseException):
                    coro.close()
        self._ready.clear()
        self._scheduled.clear()
        self.failures.clear()
        self.close()

    def _process_events(self, event_list: object) -> None:
        raise SimulationError("a simulated loop has no selector")

    def _write_to_self(self) -> None:
        raise SimulationError("a simulated loop has no threads")


def _name_of(callback: object) -> str:
    return getattr(callback, "__qualname__", None) or type(callback).__qualname__


def settle(answer: asyncio.Future[Any], result: object, failure: BaseException | None) -> None:
    """Gives a future its outcome, unless it has one or its waiter gave up."""
    if answer.done():
        return
    if failure is None:
        answer.set_result(result)
    else:
        answer.set_exception(failure)


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """No garbage collection at arbitrary steps: finalizers would run in another order."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def run(loop: SimLoop, main: Coroutine[Any, Any, T]) -> T:
    """The result of `main` on `loop`, whose remaining tasks are dropped afterwards."""
    with collector_off():
        try:
            return loop.run_until_complete(loop.create_task(main, name="main"))
        finally:
            failures = list(loop.failures)
            loop.bury()
            loop.failures = failures
