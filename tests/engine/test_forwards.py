"""Calls between nodes that come twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from engine.cell.forwards import KEPT_SECONDS, Forwards
from engine.errors import NotFound, Unavailable
from tests.simulation.env import SimEnv
from tests.simulation.loop import Host, SimLoop, run

CALL = b"call-1"


class Served:
    """Answers with how often it was asked, when the test lets it."""

    def __init__(self) -> None:
        self.count = 0
        self.may_answer = asyncio.Event()
        self.refusal: Exception | None = None

    async def __call__(self) -> bytes:
        self.count += 1
        await self.may_answer.wait()
        if self.refusal is not None:
            raise self.refusal
        return str(self.count).encode()


def on_a_node(scenario: Callable[[Forwards, Served], Awaitable[None]]) -> None:
    loop = SimLoop(0, in_order=True)
    env = SimEnv(loop, Host("node"), random.Random(0), skew_seconds=0, drift=0)

    async def main() -> None:
        await scenario(Forwards(env), Served())

    run(loop, main())


def test_a_copy_of_a_call_is_answered_as_the_call_and_not_served() -> None:
    async def scenario(forwards: Forwards, served: Served) -> None:
        calls = [asyncio.ensure_future(forwards.once(CALL, served)) for _ in range(2)]
        await asyncio.sleep(0)
        served.may_answer.set()
        assert await asyncio.gather(*calls) == [b"1", b"1"]
        await asyncio.sleep(KEPT_SECONDS - 1)
        assert await forwards.once(CALL, served) == b"1"
        assert await forwards.once(b"call-2", served) == b"2"

    on_a_node(scenario)


def test_a_refusal_is_final() -> None:
    async def scenario(forwards: Forwards, served: Served) -> None:
        served.may_answer.set()
        served.refusal = NotFound()
        with pytest.raises(NotFound):
            await forwards.once(CALL, served)
        served.refusal = None
        with pytest.raises(NotFound):
            await forwards.once(CALL, served)
        assert served.count == 1

    on_a_node(scenario)


def test_a_copy_of_a_call_that_was_given_up_does_not_start_again() -> None:
    async def scenario(forwards: Forwards, served: Served) -> None:
        call = asyncio.ensure_future(forwards.once(CALL, served))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        with pytest.raises(Unavailable):
            await forwards.once(CALL, served)
        assert served.count == 1

    on_a_node(scenario)


def test_answers_are_kept_for_a_while_only() -> None:
    async def scenario(forwards: Forwards, served: Served) -> None:
        served.may_answer.set()
        assert await forwards.once(CALL, served) == b"1"
        await asyncio.sleep(KEPT_SECONDS + 1)
        assert await forwards.once(CALL, served) == b"2"

    on_a_node(scenario)
