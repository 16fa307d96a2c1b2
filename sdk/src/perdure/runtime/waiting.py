"""Ways to wait in workflow code: for a time, for a condition, for several futures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from perdure.runtime.context import current

_T = TypeVar("_T")


async def sleep(duration: timedelta | float, *, summary: str | None = None) -> None:
    """Wait durably, for seconds or years."""
    duration = _as_timedelta(duration)
    if duration <= timedelta():
        await asyncio.sleep(0)
        return
    instance = current()
    future = instance.loop.create_future()
    stop = instance.start_timer(duration, lambda: _finish(future), summary)
    try:
        await future
    finally:
        stop()


async def wait_condition(
    fn: Callable[[], bool],
    *,
    timeout: timedelta | float | None = None,  # noqa: ASYNC109 - it is a durable timer.
    timeout_summary: str | None = None,
) -> None:
    """Wait until the function is true; raises asyncio.TimeoutError after the timeout."""
    instance = current()
    future = instance.loop.create_future()
    instance.conditions[future] = fn
    stop: Callable[[], None] | None = None
    if timeout is not None:
        timeout = _as_timedelta(timeout)
        if timeout > timedelta():
            stop = instance.start_timer(
                timeout, lambda: _finish(future, TimeoutError()), timeout_summary
            )
        elif not fn():
            _finish(future, TimeoutError())
    try:
        await future
    finally:
        instance.conditions.pop(future, None)
        if stop is not None:
            stop()


def _as_timedelta(duration: timedelta | float) -> timedelta:
    return duration if isinstance(duration, timedelta) else timedelta(seconds=duration)


def _finish(future: asyncio.Future[None], error: BaseException | None = None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


async def wait(
    fs: Iterable[asyncio.Future[_T]],
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - the signature is that of asyncio.wait.
    return_when: str = asyncio.ALL_COMPLETED,
) -> tuple[list[asyncio.Future[_T]], list[asyncio.Future[_T]]]:
    """As asyncio.wait, with lists in the given order instead of sets."""
    futures = list(dict.fromkeys(fs))
    done, _ = await asyncio.wait(futures, timeout=timeout, return_when=return_when)
    return [item for item in futures if item in done], [
        item for item in futures if item not in done
    ]


async def as_completed(fs: Iterable[Awaitable[_T]]) -> AsyncIterator[asyncio.Future[_T]]:
    """The futures in the order in which they finish, the same at every replay."""
    waiting: list[asyncio.Future[_T]] = [asyncio.ensure_future(item) for item in fs]
    while waiting:
        done, waiting = await wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for item in done:
            yield item
