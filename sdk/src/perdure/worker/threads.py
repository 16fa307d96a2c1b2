"""Threads that workflow code runs in, so that its loop is the thread's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from perdure.exceptions import WorkflowDeadlockError
from perdure.runtime.instance import WorkflowInstance

DEADLOCK_SECONDS = 2.0

_T = TypeVar("_T")


class WorkflowThreads:
    """Runs work on instances, one piece at a time for each, and notices when it hangs."""

    def __init__(self, count_max: int) -> None:
        self._executor = ThreadPoolExecutor(count_max, thread_name_prefix="perdure-workflow")

    async def run(self, instance: WorkflowInstance, work: Callable[[], _T]) -> _T:
        """The work's result; raises WorkflowDeadlockError if one activation does not yield.

        After that error the instance is no longer the caller's: the thread still runs it.
        """
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        seen = instance.activation_count
        while not (await asyncio.wait({future}, timeout=DEADLOCK_SECONDS))[0]:
            if instance.activation_count == seen:
                future.add_done_callback(lambda done: _abandon(done, instance))
                raise WorkflowDeadlockError(
                    f"workflow code blocked its thread for {DEADLOCK_SECONDS:g} s "
                    "instead of awaiting"
                )
            # A long replay is many short activations, and each of them is progress.
            seen = instance.activation_count
        return future.result()

    async def evict(self, instances: Iterable[WorkflowInstance]) -> None:
        """End what still runs in these instances."""
        loop = asyncio.get_running_loop()
        for instance in instances:
            await loop.run_in_executor(self._executor, instance.evict)

    def close(self) -> None:
        """Let the threads end when what they run has ended."""
        self._executor.shutdown(wait=False)


def _abandon(done: asyncio.Future[_T], instance: WorkflowInstance) -> None:
    if not done.cancelled():
        done.exception()
    # The worker and its threads may have ended before the code yielded at last.
    threading.Thread(target=instance.evict, daemon=True).start()
