"""Calls that are being answered, and what ends them early."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeVar

from api.transports.errors import (
    AccessChanged,
    ClientGone,
    DeadlinePassed,
    Draining,
    TransportError,
)

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
T = TypeVar("T")

WATCH_AFTER_SECONDS = 0.1
"""Most calls are answered before; watching those as well would cost more than they do."""

DEADLINE_GRACE_SECONDS = 5.0
"""Long polls end by themselves, just before their deadline; this is for what does not."""


class OpenCalls:
    """Ends calls whose client left, whose credential was revoked, or whose time is up."""

    def __init__(self) -> None:
        self._by_caller: dict[str, set[_OpenCall]] = {}

    @property
    def count(self) -> int:
        return sum(map(len, self._by_caller.values()))

    async def run(
        self, answer: Awaitable[T], *, caller_id: str, receive: Receive, timeout_seconds: float
    ) -> T:
        """The answer; or raises why there is none. Cancelling it is all that `answer` sees."""
        call = _OpenCall(receive, timeout_seconds)
        calls = self._by_caller.setdefault(caller_id, set())
        calls.add(call)
        try:
            result = await answer
        except asyncio.CancelledError:
            if call.reason is None:
                raise
        else:
            if call.reason is None:
                return result
        finally:
            call.close()
            calls.discard(call)
            if not calls:
                self._by_caller.pop(caller_id, None)
        call.task.uncancel()
        raise call.reason

    def revoke(self, caller_id: str) -> None:
        """Ends every open call of a caller whose credential is gone or may do something else."""
        for call in tuple(self._by_caller.get(caller_id, ())):
            call.end(AccessChanged())

    def drain(self) -> None:
        """Ends every open call, so that the process can stop; clients come back by themselves."""
        for calls in tuple(self._by_caller.values()):
            for call in tuple(calls):
                call.end(Draining())


class _OpenCall:
    """One call in the task that answers it."""

    __slots__ = ("_receive", "_timeout_seconds", "_timer", "_watcher", "reason", "task")

    def __init__(self, receive: Receive, timeout_seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None, "calls are answered in tasks"
        self.task = task
        self.reason: TransportError | None = None
        self._receive = receive
        self._timeout_seconds = timeout_seconds
        self._watcher: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = task.get_loop().call_later(
            WATCH_AFTER_SECONDS, self._watch
        )

    def end(self, reason: TransportError) -> None:
        if self.reason is None and self._timer is not None:
            self.reason = reason
            self.task.cancel()

    def close(self) -> None:
        """From here on nothing ends the call any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watcher is not None:
            self._watcher.cancel()

    def _watch(self) -> None:
        loop = self.task.get_loop()
        seconds = self._timeout_seconds + DEADLINE_GRACE_SECONDS
        self._timer = loop.call_later(seconds, self._time_is_up)
        self._watcher = loop.create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.end(ClientGone())

    def _time_is_up(self) -> None:
        self.end(DeadlinePassed(self._timeout_seconds))
