"""Calls between nodes that come twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from engine.cell import forwards as module
from engine.cell import remote
from engine.cell.forwards import CALL_BYTES, KEPT_SECONDS, Forwards
from engine.errors import EngineError, NotFound, Unavailable
from tests.engine.bounds import limit
from tests.simulation.env import SimEnv
from tests.simulation.loop import Host, SimLoop, run

CALL = b"call-1"


class Served:
    """Answers with how often it was asked, when the test lets it."""

    def __init__(self) -> None:
        self.count = 0
        self.may_answer = asyncio.Event()
        self.refusal: EngineError | None = None

    async def __call__(self) -> bytes:
        self.count += 1
        await self.may_answer.wait()
        if self.refusal is not None:
            return remote.encode_refusal(self.refusal)
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
        first = await forwards.once(CALL, served)
        served.refusal = None
        assert await forwards.once(CALL, served) == first
        with pytest.raises(NotFound):
            remote.answer_of(first)
        assert served.count == 1

    on_a_node(scenario)


def test_a_copy_of_a_call_that_was_given_up_does_not_start_again() -> None:
    async def scenario(forwards: Forwards, served: Served) -> None:
        call = asyncio.ensure_future(forwards.once(CALL, served))
        await asyncio.sleep(0)
        copy = asyncio.ensure_future(forwards.once(CALL, served))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        for reply in (await copy, await forwards.once(CALL, served)):
            with pytest.raises(Unavailable):
                remote.answer_of(reply)
        assert served.count == 1

    on_a_node(scenario)


def ids(count: int) -> list[bytes]:
    return [f"call-{number}".encode() for number in range(count)]


@limit("FORWARD_ANSWERS_BYTES_MAX")
@pytest.mark.parametrize(("answers", "dropped"), [(3, 0), (4, 0), (5, 1), (6, 2)])
def test_answers_beyond_the_bound_are_dropped_oldest_first_and_never_served_again(
    monkeypatch: pytest.MonkeyPatch, answers: int, dropped: int
) -> None:
    calls = ids(answers)
    most = CALL_BYTES * answers + 1_000 * 4
    monkeypatch.setattr(module, "FORWARD_ANSWERS_BYTES_MAX", most)

    async def scenario(forwards: Forwards, served: Served) -> None:
        async def answer() -> bytes:
            served.count += 1
            return bytes(1_000)

        for call_id in calls:
            await forwards.once(call_id, answer)
        for call_id in calls[:dropped]:
            with pytest.raises(Unavailable):
                remote.answer_of(await forwards.once(call_id, answer))
        for call_id in calls[dropped:]:
            assert await forwards.once(call_id, answer) == bytes(1_000)
        assert served.count == answers

    on_a_node(scenario)


def test_a_call_that_could_not_be_remembered_is_refused_before_it_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FORWARD_ANSWERS_BYTES_MAX", 3 * CALL_BYTES)
    *calls, last = ids(4)

    async def scenario(forwards: Forwards, served: Served) -> None:
        served.may_answer.set()
        for call_id in calls:
            await forwards.once(call_id, served)
        with pytest.raises(Unavailable):
            remote.answer_of(await forwards.once(last, served))
        assert served.count == len(calls)
        await asyncio.sleep(KEPT_SECONDS + 1)
        assert await forwards.once(last, served) == b"4"

    on_a_node(scenario)


def test_answers_are_kept_for_a_while_only() -> None:
    async def scenario(forwards: Forwards, served: Served) -> None:
        served.may_answer.set()
        assert await forwards.once(CALL, served) == b"1"
        await asyncio.sleep(KEPT_SECONDS + 1)
        assert await forwards.once(CALL, served) == b"2"

    on_a_node(scenario)
