"""Keeps the processes of an installation running: one that ends is started again."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from api import mail_settings
from api.cell_store import cell_count, postgres_of
from api.child import EXIT_UNUSABLE, ending_with_parent
from api.config import STORE_VARIABLE, Config, Verb, environment_with
from api.days_ahead import set_clock
from api.installation import Part, installation
from api.part_settings import cells_named, map_told
from api.processes.loop import run
from api.server import CONNECTIONS_WAITING_MAX, bound_socket
from api.telemetry import settings as telemetry_settings
from api.tls.config import as_arguments
from tenancy import CellPlace

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.1
PAUSE_SECONDS_MAX = 5.0
STEADY_SECONDS = 30.0
STOP_SECONDS_MAX = 30.0


def main(config: Config) -> int:
    """The exit status: that of a process that cannot be run, or 0 after a signal."""
    with (
        installation(config.data, Part.ALL) as held,
        postgres_of(held, config.store) as postgres,
        ExitStack() as stack,
    ):
        ports = [it for it in (config.port, config.tls.port) if it is not None]
        listeners = [stack.enter_context(bound_socket(config.host, port)) for port in ports]
        for listener in listeners:
            # Callers wait in these sockets while the frontend is started again.
            listener.listen(CONNECTIONS_WAITING_MAX)
        set_clock(held, config.days_ahead)
        cells = cells_named(cell_count(held, config.parts.cells))
        watch = _Watch()
        run(watch.keep(commands(config, cells, listeners, postgres)))
        return watch.status


class Command(NamedTuple):
    """How a part is run, the sockets that it inherits, and what its environment says besides.

    What may hold a password is told by the environment: everybody on the machine reads arguments.
    """

    words: Sequence[str]
    sockets: Sequence[int]
    environment: Mapping[str, str]


def commands(
    config: Config,
    cells: tuple[CellPlace, ...],
    listeners: Sequence[socket.socket],
    postgres: str | None,
) -> list[Command]:
    """One for each part, those that others ask before those that ask."""
    secrets = mail_settings.as_environment(config.mail)
    if config.store is not None:
        secrets[STORE_VARIABLE] = config.store
    stored: list[str] = []
    if postgres is not None and postgres != config.store:
        # It is one for all, and outlives each of them.
        stored = ["--running-postgres", postgres]
    port = listeners[0].getsockname()[1]
    at = ["--host", config.host, "--port", str(port), *as_arguments(config.tls)]
    sockets = [listener.fileno() for listener in listeners]
    inherited = ["--sockets", ",".join(map(str, sockets))]
    told = [*stored, *at, *mail_settings.as_arguments(config.mail)]
    parts: list[tuple[Verb, list[str], list[int]]] = [
        *((Verb.CELL, ["--cell", cell.id, *stored], []) for cell in cells),
        (Verb.CONTROL_PLANE, ["--cell-map", map_told(cells), *told], []),
        (Verb.FRONTEND, ["--cell-map", map_told(cells), *at, *inherited], sockets),
    ]
    quiet = ["--quiet"] if config.is_quiet else []
    told_apart = []
    for place, (verb, its, its_sockets) in enumerate(parts):
        # Each takes a port for operators of its own.
        observed = telemetry_settings.as_arguments(config.telemetry, place)
        words = [sys.executable, "-m", "api", verb, "--data", str(config.data)]
        told_apart.append(Command([*words, *its, *quiet, *observed], its_sockets, secrets))
    return told_apart


class _Watch:
    def __init__(self) -> None:
        self.status = 0
        self._stopping = asyncio.Event()

    async def keep(self, commands: Sequence[Command]) -> None:
        """Run the commands until a signal comes, or one of them cannot be run.

        Then the last is ended first: who asks others is gone before they are.
        """
        loop = asyncio.get_running_loop()
        for sent in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sent, self._stopping.set)
        keeping: asyncio.Task[None] | None = None
        for command in reversed(commands):
            keeping = asyncio.create_task(self._keep_one(command, keeping))
        if keeping is not None:
            await keeping

    async def _keep_one(self, command: Command, asker: asyncio.Task[None] | None) -> None:
        """Until all is to end and the `asker` is gone."""
        pause = PAUSE_SECONDS
        while not self._stopping.is_set():
            started = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *command.words,
                # Ctrl-C is for the one who watches: it ends the others in order.
                start_new_session=True,
                pass_fds=command.sockets,
                env=environment_with(command.environment),
                preexec_fn=ending_with_parent(signal.SIGTERM),
            )
            status = await self._until_ended(process, asker)
            if status == EXIT_UNUSABLE and not self._stopping.is_set():
                self.status = status
                self._stopping.set()
            if self._stopping.is_set():
                break
            logger.warning("process_ended", extra={"part": command.words[3], "status": status})
            if time.monotonic() - started > STEADY_SECONDS:
                pause = PAUSE_SECONDS
            await _either(self._stopping.wait(), asyncio.sleep(pause))
            pause = min(pause * 2, PAUSE_SECONDS_MAX)
        if asker is not None:
            await asker

    async def _until_ended(
        self, process: asyncio.subprocess.Process, asker: asyncio.Task[None] | None
    ) -> int:
        await _either(process.wait(), self._stopping.wait())
        if asker is not None and self._stopping.is_set():
            await asyncio.wait([asker])
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS_MAX):
                    await process.wait()
            except TimeoutError:
                process.kill()
        return await process.wait()


async def _either(*waits: object) -> None:
    """Return when the first of these is over; the others are given up."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
