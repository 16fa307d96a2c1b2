"""Calls that other nodes passed on, each served once.

The network between nodes may bring a call twice, the second time long after the first was
answered. Served again it would act behind an answer that may have been a refusal, which is final.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from engine.env import Env
from engine.errors import Unavailable

KEPT_SECONDS = 30
"""How much later than the first the second copy of a call may come."""


class Forwards:
    """The answers to the calls of the last seconds, by the ids that their senders gave them."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._answers: OrderedDict[bytes, tuple[float, asyncio.Future[bytes]]] = OrderedDict()

    async def once(self, call_id: bytes, serve: Callable[[], Awaitable[bytes]]) -> bytes:
        """What `serve` answers; a copy of the call gets that too, or waits for it."""
        self._forget_old()
        if call_id in self._answers:
            _, first = self._answers[call_id]
            return await asyncio.shield(first)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[call_id] = (self._env.monotonic(), answer)
        try:
            answer.set_result(await serve())
        except BaseException as error:
            is_withdrawn = isinstance(error, asyncio.CancelledError)
            answer.set_exception(Unavailable() if is_withdrawn else error)
            # Most calls come once: nobody else may ever read what became of them.
            answer.exception()
            raise
        return answer.result()

    def _forget_old(self) -> None:
        oldest = self._env.monotonic() - KEPT_SECONDS
        while self._answers and next(iter(self._answers.values()))[0] < oldest:
            self._answers.popitem(last=False)
