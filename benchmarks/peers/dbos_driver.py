"""DBOS on a PostgreSQL server, driven line by line."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import psycopg

from api.local_postgres import LocalPostgres
from benchmarks.load import Failed, Tally, Target
from benchmarks.servers import ServerFailed

HERE = Path(__file__).parent
LOCK = HERE / "dbos.lock"
DATABASE = "dbos"
RESULT_WAIT_SECONDS_MAX = 60
READY_WAIT_SECONDS_MAX = 60


class Dbos:
    """The process, and who waits for which of its workflows."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[str]] = {}

    def target(self, steps: int, database_pid: int) -> Target:
        tally = Tally()

        async def operation(due: float) -> float:
            await self._run(steps, tally)
            return time.perf_counter() - due

        return Target("dbos", self._process.pid, operation, tally, database_pid=database_pid)

    async def read(self) -> None:
        """Hands out results until the process ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            number, _, result = line.decode().strip().partition(" ")
            self._waiting.pop(int(number)).set_result(result)

    async def _run(self, steps: int, tally: Tally) -> None:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number} {steps}\n".encode())
        try:
            async with asyncio.timeout(RESULT_WAIT_SECONDS_MAX):
                result = await self._waiting[number]
        except TimeoutError as problem:
            tally.lost += 1
            raise Failed from problem
        if result != f"hello-{number}":
            tally.note(f"workflow {number} ended with {result!r}")
            raise Failed


@asynccontextmanager
async def dbos(kept: Path, database: LocalPostgres) -> AsyncIterator[Dbos]:
    """DBOS on a database of its own of this server. `kept` is where its environment stays."""
    python = await asyncio.to_thread(_environment, kept)
    with psycopg.connect(database.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    process = await asyncio.create_subprocess_exec(
        python,
        "-W",
        "ignore",
        HERE / "dbos_service.py",
        database.url(DATABASE),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_WAIT_SECONDS_MAX):
                if await process.stdout.readline() != b"ready\n":
                    raise ServerFailed("DBOS did not start")
        except TimeoutError:
            raise ServerFailed(f"DBOS was not ready after {READY_WAIT_SECONDS_MAX} s") from None
        running = Dbos(process)
        reading = asyncio.create_task(running.read())
        yield running
        reading.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _environment(kept: Path) -> Path:
    """An interpreter with what the lock names, made once for each state of the lock."""
    folder = kept / f"dbos-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    stamp = folder / "complete"
    if not stamp.exists():
        print("installing DBOS into an environment of its own", file=sys.stderr)
        venv = [sys.executable, "-m", "venv", "--clear", str(folder)]
        pip = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK)]
        for command in (venv, pip):
            if subprocess.run(command, check=False).returncode:
                raise ServerFailed(f"{' '.join(command)} failed")
        stamp.touch()
    return python
