"""The product as a process of its own: started, killed at any moment, started again."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS_MAX = 60
END_SECONDS_MAX = 30
LOOK_AGAIN_SECONDS = 0.02
CALL_SECONDS_MAX = 90
GREETING = "Perdure is ready at "


class Preloaded:
    """Starts servers without importing the product each time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.product.preloaded"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            bufsize=1,
        )

    def start(
        self, log: Path, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> int:
        """The new process's id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps([str(log), dict(environment or {}), *arguments])
        self._process.stdin.write(f"{line}\n")
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(END_SECONDS_MAX)
        self._process.stdout.close()


class Product:
    """One installation. Its address outlives restarts, so that clients may simply go on.

    `answering` is set while a server is known to answer. `environment` comes on top of ours.
    """

    def __init__(
        self,
        preloaded: Preloaded,
        data: Path,
        *arguments: str,
        log: Path | None = None,
        verb: str = "up",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data
        self.log = log or data.with_name(f"{data.name}.log")
        self.answering = asyncio.Event()
        self.kill_count = 0
        self._preloaded = preloaded
        self.arguments = arguments
        self._verb = verb
        self._environment = environment
        self._port = free_port()
        self._process = 0
        self._pid = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def client(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.address,
            headers=headers,
            timeout=CALL_SECONDS_MAX,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )

    def launch(self) -> None:
        """Start a server and do not wait for it."""
        assert not self._process, "the server runs already"
        arguments = (self._verb, "--quiet", "--data", str(self.data), "--port", str(self._port))
        self._pid = self._preloaded.start(
            self.log, *arguments, *self.arguments, environment=self._environment
        )
        self._process = os.pidfd_open(self._pid)

    async def ready(self) -> None:
        """Wait until the server that was launched says that it is ready."""
        async with asyncio.timeout(READY_SECONDS_MAX), self.client() as http:
            while not await self._is_ready(http):
                assert not self._has_ended(0), f"the server ended: {self.told()}"
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
        self.answering.set()

    async def start(self) -> None:
        self.launch()
        await self.ready()

    def kill(self) -> None:
        """kill -9; the process is gone afterwards."""
        self.kill_count += 1
        self.end(signal.SIGKILL)

    def stop(self) -> None:
        """As Ctrl-C does."""
        self.end(signal.SIGTERM)

    async def health(self, path: str) -> tuple[int, dict[str, Any]]:
        async with self.client() as http:
            answer = await http.get(path)
        return answer.status_code, answer.json()

    def told(self, *expected: str) -> list[str]:
        """What the servers logged: warnings and worse, and whatever escaped the log.

        Without what names an expected event.
        """
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [line for line in lines if not any(it in line for it in (GREETING, *expected))]

    def end(self, how: signal.Signals) -> None:
        """Send the signal and wait until the process is gone; without one, nothing happens."""
        self.answering.clear()
        if self._process:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, how)
            has_ended = self._has_ended(END_SECONDS_MAX)
            os.close(self._process)
            self._process = 0
            assert has_ended, f"the server did not end within {END_SECONDS_MAX} s: {self.told()}"

    def _has_ended(self, wait_seconds: float) -> bool:
        return bool(select.select([self._process], [], [], wait_seconds)[0])

    async def _is_ready(self, http: httpx.AsyncClient) -> bool:
        try:
            return (await http.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False


@asynccontextmanager
async def serving(
    preloaded: Preloaded,
    data: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    expected: Iterable[str] = (),
) -> AsyncIterator[Product]:
    """A ready product, started with these arguments too.

    It fails the test if a server logged a warning or worse that is no expected event.
    """
    product = Product(preloaded, data, *arguments, environment=environment)
    try:
        await product.start()
        yield product
        told = product.told(*expected)
        assert not told, told
    finally:
        product.end(signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
