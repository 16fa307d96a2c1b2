"""The system cell at work: opened, worked in, and opened again if it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from api.cells import Cell, LocalCell, cloud_env
from api.installation import Installation, system_socket
from api.system.cell import open_system_cell, system_client
from api.wire.cell import served
from api.wire.server import WireServer
from engine.env import Env
from engine.persistence.protocols import Store
from perdure import Client, Worker
from tenancy.workflows.starting import TASK_QUEUE

logger = logging.getLogger(__name__)

POLL_COUNT = 2
"""Of each kind: this worker is alone, in the process of its cell, and mostly idle."""

CONCURRENT_COUNT_MAX = 10
CACHED_WORKFLOW_COUNT_MAX = 100
GRACE_SECONDS = 5
DRAIN_SECONDS = 1.0


async def _nothing(_client: Client) -> None:
    """All of it is started by somebody else."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the worker can do. `begin` starts what is never to end; it may be called again."""

    workflows: Sequence[type]
    activities: Sequence[Callable[..., Any]]
    begin: Callable[[Client], Awaitable[None]] = _nothing

    def __add__(self, other: Work) -> Work:
        async def begin(client: Client) -> None:
            await self.begin(client)
            await other.begin(client)

        return Work(
            (*self.workflows, *other.workflows), (*self.activities, *other.activities), begin
        )


class System:
    """`serve` it as upkeep: nothing that customers do waits for it."""

    def __init__(
        self, installation: Installation, store: Store, env: Callable[[], Env] = cloud_env
    ) -> None:
        self._installation = installation
        self._store = store
        self._env = env
        self._cell: LocalCell | None = None
        self._client: Client | None = None

    def client(self) -> Client | None:
        """None while the cell does not answer or nobody works in it."""
        if self._cell is None or not self._cell.health.is_ready:
            return None
        return self._client

    async def serve(self, work: Work) -> None:
        """Works until it is cancelled; raises what it fails with, and may be called again."""
        async with (
            open_system_cell(self._installation, self._store, self._env()) as cell,
            system_client(cell.call) as client,
            _reachable(cell, self._installation),
        ):
            worker = Worker(
                client,
                task_queue=TASK_QUEUE,
                workflows=work.workflows,
                activities=work.activities,
                max_cached_workflows=CACHED_WORKFLOW_COUNT_MAX,
                max_concurrent_workflow_tasks=CONCURRENT_COUNT_MAX,
                max_concurrent_activities=CONCURRENT_COUNT_MAX,
                max_concurrent_workflow_task_polls=POLL_COUNT,
                max_concurrent_activity_task_polls=POLL_COUNT,
                graceful_shutdown_timeout=timedelta(seconds=GRACE_SECONDS),
            )
            await work.begin(client)
            self._cell, self._client = cell, client
            logger.debug("system_cell_ready")
            try:
                await worker.run()
            finally:
                self._cell = self._client = None


@asynccontextmanager
async def _reachable(cell: Cell, installation: Installation) -> AsyncIterator[None]:
    """Operators' commands reach the cell by a socket in the directory, which nobody else enters."""
    loop, path = asyncio.get_running_loop(), system_socket(installation.data)
    if path is None:
        logger.info("system_socket_left_out")
        yield
        return
    server = WireServer(served(cell))
    # Nobody else has the directory, so what is there was left by a process that is gone.
    path.unlink(missing_ok=True)
    # Not serving yet: a server that begins at once is lost if this is cancelled meanwhile.
    listener = await loop.create_unix_server(server.protocol, path, start_serving=False)
    try:
        await listener.start_serving()
        yield
    finally:
        listener.close()
        await server.drain(DRAIN_SECONDS)
        path.unlink(missing_ok=True)
