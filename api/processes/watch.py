"""Keeps the processes of an installation running: one that ends is started again."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Sequence

from api.cell_store import postgres_of
from api.child import ending_with_parent
from api.config import Config, Verb
from api.installation import Part, installation
from api.processes.loop import run
from api.server import bound_socket
from api.tls.config import as_arguments

logger = logging.getLogger(__name__)

EXIT_UNUSABLE = 2
"""The status of a process that will not run as it was told to: starting it again is no use."""

PAUSE_SECONDS = 0.1
PAUSE_SECONDS_MAX = 5.0
STEADY_SECONDS = 30.0
STOP_SECONDS_MAX = 30.0


def main(config: Config) -> int:
    """The exit status: that of a process that cannot be run, or 0 after a signal."""
    with (
        installation(config.data, Part.ALL) as held,
        postgres_of(held, config.store) as postgres,
    ):
        # Tells of a taken port before anything runs; the front binds it for itself.
        with bound_socket(config.host, config.port) as probe:
            port = probe.getsockname()[1]
        watch = _Watch()
        run(
            watch.keep([_command(config, verb, port, postgres) for verb in (Verb.CELL, Verb.FRONT)])
        )
        return watch.status


def _command(config: Config, verb: Verb, port: int, postgres: str | None) -> list[str]:
    command = [sys.executable, "-m", "api", verb, "--data", str(config.data)]
    if verb is Verb.FRONT:
        command += ["--host", config.host, "--port", str(port), *as_arguments(config.tls)]
    if config.store is not None:
        command += ["--store", config.store]
    if postgres is not None and postgres != config.store:
        # It is one for both, and outlives each of them.
        command += ["--running-postgres", postgres]
    if config.otlp_endpoint is not None:
        command += ["--otlp", config.otlp_endpoint]
    return [*command, "--quiet"] if config.is_quiet else command


class _Watch:
    def __init__(self) -> None:
        self.status = 0
        self._stopping = asyncio.Event()

    async def keep(self, commands: Sequence[Sequence[str]]) -> None:
        """Run the commands until a signal comes, or one of them cannot be run."""
        loop = asyncio.get_running_loop()
        for sent in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sent, self._stopping.set)
        await asyncio.gather(*(self._keep_one(command) for command in commands))

    async def _keep_one(self, command: Sequence[str]) -> None:
        pause = PAUSE_SECONDS
        while not self._stopping.is_set():
            started = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *command,
                # Ctrl-C is for the one who watches: it ends the others in order.
                start_new_session=True,
                preexec_fn=ending_with_parent(signal.SIGTERM),
            )
            status = await self._until_ended(process)
            if self._stopping.is_set():
                return
            if status == EXIT_UNUSABLE:
                self.status = status
                self._stopping.set()
                return
            logger.warning("process_ended", extra={"part": command[3], "status": status})
            if time.monotonic() - started > STEADY_SECONDS:
                pause = PAUSE_SECONDS
            await _either(self._stopping.wait(), asyncio.sleep(pause))
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    async def _until_ended(self, process: asyncio.subprocess.Process) -> int:
        await _either(process.wait(), self._stopping.wait())
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
