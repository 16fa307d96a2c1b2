"""Threads that keep the event loop free of SQLite, and lead back to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from engine.errors import StoreUnavailable


class Desk(Protocol):
    """What one thread works with."""

    def close(self) -> None:
        """Give back what it holds; called on its thread, last."""


D = TypeVar("D", bound=Desk)
T = TypeVar("T")


class _Job:
    __slots__ = ("answer", "loop", "work")

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work
        self.loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Any] = self.loop.create_future()

    def answer_with(self, result: Any, error: BaseException | None) -> None:
        """Lead what came of it back to the asker's event loop."""
        try:
            self.loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:
            # That event loop ended meanwhile, and with it whoever would be answered.
            return

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(result)
        else:
            self.answer.set_exception(error)


class Lane(Generic[D]):
    """Takes jobs in order; one thread for each desk. A job outlives an asker who gives up."""

    def __init__(self, name: str, desks: Sequence[D]) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._is_closed = False
        self._open_jobs: set[_Job] = set()
        self._threads = [
            threading.Thread(target=self._serve, args=(desk,), name=name, daemon=True)
            for desk in desks
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_idle(self) -> bool:
        """Whether every job has ended, those whose askers gave up included."""
        return not self._open_jobs

    async def run(self, work: Callable[[D], T]) -> T:
        """What `work` returns or raises on a thread of this lane."""
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        job = _Job(work)
        self._open_jobs.add(job)
        self._jobs.put(job)
        result: T = await job.answer
        return result

    async def close(self) -> None:
        """Finish what was taken, then end the threads."""
        if not self._is_closed:
            self._is_closed = True
            for _ in self._threads:
                self._jobs.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _serve(self, desk: D) -> None:
        while (job := self._jobs.get()) is not None:
            result, error = None, None
            try:
                result = job.work(desk)
            except BaseException as failure:
                error = failure
            self._open_jobs.discard(job)
            job.answer_with(result, error)
            # Waiting for the next job must not keep the last one's rows alive.
            del job, result, error
        desk.close()
