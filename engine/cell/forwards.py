"""Calls that other nodes passed on, each served once.

The network between nodes may bring a call twice, the second time long after the first was
answered. Served again it would act behind an answer that may have been a refusal, which is final.

Ids are remembered as long as a copy may come, answers only while there is room: the oldest are
dropped first, and a copy of a call whose answer is gone is told to try again. That is what its
sender does anyway where an answer is lost on the way, and under a new id it is another call: what
keeps that one from acting twice is its request id. When not even an id has room, the call is
refused before it is served.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from engine.cell import remote
from engine.env import Env
from engine.errors import Unavailable
from engine.limits import FORWARD_ANSWERS_BYTES_MAX

KEPT_SECONDS = 30
"""How much later than the first the second copy of a call may come."""

CALL_BYTES = 512
"""About what a call takes beside its answer."""

ANSWER_GONE = remote.encode_refusal(Unavailable("the answer to this call is not kept; try again"))
NO_ROOM = remote.encode_refusal(Unavailable("this node answers too many calls now; try again"))


class Forwards:
    """The calls of the last seconds by the ids that their senders gave them, and the answers."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._begun: OrderedDict[bytes, float] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Future[bytes]] = {}
        self._answers: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0

    async def once(self, call_id: bytes, serve: Callable[[], Awaitable[bytes]]) -> bytes:
        """What `serve` replies, which must not raise; a copy of the call gets, or awaits, that."""
        self._forget_old()
        first = self._under_way.get(call_id)
        if first is not None:
            return await asyncio.shield(first)
        if call_id in self._begun:
            return self._answers.get(call_id, ANSWER_GONE)
        if not self._make_room(CALL_BYTES):
            return NO_ROOM
        self._begun[call_id] = self._env.monotonic()
        self._bytes += CALL_BYTES
        self._under_way[call_id] = asyncio.get_running_loop().create_future()
        reply = ANSWER_GONE
        try:
            reply = await serve()
        finally:
            # Also where the call was withdrawn: a copy must not do what the first began.
            self._under_way.pop(call_id).set_result(reply)
            self._keep(call_id, reply)
        return reply

    def _keep(self, call_id: bytes, reply: bytes) -> None:
        if call_id in self._begun:
            self._answers[call_id] = reply
            self._bytes += len(reply)
            self._make_room(0)

    def _make_room(self, wanted_bytes: int) -> bool:
        """Whether that much fits now, with no more answers dropped than it takes."""
        while self._bytes + wanted_bytes > FORWARD_ANSWERS_BYTES_MAX and self._answers:
            _, answer = self._answers.popitem(last=False)
            self._bytes -= len(answer)
        return self._bytes + wanted_bytes <= FORWARD_ANSWERS_BYTES_MAX

    def _forget_old(self) -> None:
        oldest = self._env.monotonic() - KEPT_SECONDS
        while self._begun and next(iter(self._begun.values())) < oldest:
            call_id, _ = self._begun.popitem(last=False)
            self._bytes -= CALL_BYTES + len(self._answers.pop(call_id, b""))
