"""Start a server as a process of its own, wait until it answers, stop it."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.http_client import BrokenAnswer, HttpClient

READY_WAIT_SECONDS_MAX = 60
STOP_WAIT_SECONDS_MAX = 15
LOOK_AGAIN_SECONDS = 0.1


class ServerFailed(Exception):
    """The server under test did not come up."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(port: int, *command: str) -> AsyncIterator[int]:
    """Run `python -m COMMAND`; yields its process id once GET /readyz answers 200."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        try:
            async with asyncio.timeout(READY_WAIT_SECONDS_MAX):
                await _ready(server, port)
        except TimeoutError:
            raise ServerFailed(
                f"{command[0]} was not ready after {READY_WAIT_SECONDS_MAX} s"
            ) from None
        yield server.pid
    finally:
        await _stop(server)


async def _ready(server: asyncio.subprocess.Process, port: int) -> None:
    async with HttpClient(port) as client:
        while server.returncode is None:
            try:
                if (await client.request("GET", "/readyz")).status == 200:
                    return
            except (ConnectionError, BrokenAnswer):
                pass  # Not listening yet; the process is looked at again below.
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
    raise ServerFailed(f"the server ended with status {server.returncode} before it was ready")


async def _stop(server: asyncio.subprocess.Process) -> None:
    if server.returncode is not None:
        return
    server.terminate()
    try:
        async with asyncio.timeout(STOP_WAIT_SECONDS_MAX):
            await server.wait()
    except TimeoutError:
        server.kill()
        await server.wait()
