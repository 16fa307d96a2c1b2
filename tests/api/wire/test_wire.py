"""Two ends of a connection on this machine, and what happens when one of them goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from api.wire.client import Disconnected
from tests.api.wire.line import LONG_SECONDS, line


async def never() -> bytes:
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    return await answer


async def echo(payload: bytes) -> bytes:
    return b"answer to " + payload


async def test_a_call_waits_for_a_server_that_is_not_there_yet(tmp_path: Path) -> None:
    async with line(tmp_path, echo) as held:
        asked = asyncio.create_task(held.ask(b"early"))
        await held.start()
        assert await asked == b"answer to early"


async def test_who_does_not_want_to_wait_is_told_that_nobody_is_there(tmp_path: Path) -> None:
    async with line(tmp_path, echo) as held:
        with pytest.raises(Disconnected):
            await held.client.call(b"early", connect_seconds_max=0)
        await held.start()


async def test_answers_find_their_calls_in_any_order(tmp_path: Path) -> None:
    gates = {bytes([n]): asyncio.Event() for n in range(50)}

    async def wait(payload: bytes) -> bytes:
        await gates[payload].wait()
        return payload * 100_000

    async with line(tmp_path, wait) as held:
        await held.start()
        calls = {name: asyncio.create_task(held.ask(name)) for name in gates}
        for name in reversed(gates):
            gates[name].set()
            assert await calls[name] == name * 100_000


async def test_giving_up_ends_the_call_on_the_other_side(tmp_path: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def poll(_: bytes) -> bytes:
        begun.set()
        try:
            return await never()
        finally:
            ended.set()

    async with line(tmp_path, poll) as held:
        await held.start()
        call = asyncio.create_task(held.ask(b""))
        await begun.wait()
        call.cancel()
        await ended.wait()


async def test_a_client_that_leaves_ends_its_calls(tmp_path: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def poll(_: bytes) -> bytes:
        begun.set()
        try:
            return await never()
        finally:
            ended.set()

    async with line(tmp_path, poll) as held:
        await held.start()
        call = asyncio.create_task(held.ask(b""))
        await begun.wait()
        await held.client.stop()
        with pytest.raises(Disconnected):
            await call
        await ended.wait()


async def test_a_server_that_dies_is_found_again(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def first_never(payload: bytes) -> bytes:
        if payload == b"first":
            begun.set()
            return await never()
        return payload

    async with line(tmp_path, first_never) as held:
        await held.start()
        call = asyncio.create_task(held.ask(b"first"))
        await begun.wait()
        await held.stop()
        with pytest.raises(Disconnected):
            await call
        await held.start()
        assert await held.ask(b"second") == b"second"


async def test_draining_waits_for_what_is_under_way(tmp_path: Path) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def slow(payload: bytes) -> bytes:
        begun.set()
        await gate.wait()
        return payload

    async with line(tmp_path, slow) as held:
        await held.start()
        call = asyncio.create_task(held.ask(b"slow"))
        await begun.wait()
        draining = asyncio.create_task(held.server.drain(LONG_SECONDS))
        gate.set()
        assert await call == b"slow"
        await draining


async def test_noise_closes_the_connection_and_nothing_else(
    tmp_path: Path, allow_log: Callable[[str], None]
) -> None:
    allow_log("wire_broken")
    async with line(tmp_path, echo) as held:
        await held.start()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "wire"))
        writer.write(b"GET / HTTP/1.1\r\nhost: wire\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        assert await held.ask(b"still") == b"answer to still"
