"""A process of the control plane that dies at a chosen moment, and what outlives it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from sqlalchemy.ext.asyncio import AsyncSession

from api.installation import Installation, Secrets
from api.system.lone_store import LoneStore
from api.system.system import System, Work
from engine.env.system import SlewedClock, SystemEnv
from engine.persistence.memory import MemoryStore
from engine.persistence.protocols import ShardWrite, Store
from perdure import Client
from tenancy import Database, NamespaceRef, NamespaceSettings, Provisioner

LOOK_AGAIN_SECONDS = 0.005
STOP_SECONDS_MAX = 30
DYING = ("activity_failed", "task_lost", "workflow_loop_error", "workflow_task_failed")
"""What is logged by a process that is being killed."""


class Dead(BaseException):
    """Rolls back what the process that dies has under way."""


class Fate:
    """Counts the moments at which a process may die, and has it die at the one of that number.

    Who is dead does nothing more: what it was about to do never comes, what it did nobody hears.
    """

    def __init__(self, deadly: int = 0) -> None:
        self.died = asyncio.Event()
        self.seen = 0
        self._deadly = deadly

    def check(self) -> None:
        """Raises Dead."""
        self.seen += 1
        if self.seen == self._deadly:
            self.died.set()
        if self.died.is_set():
            raise Dead

    async def moment(self) -> None:
        """Never ends for who is dead."""
        try:
            self.check()
        except Dead:
            await asyncio.Event().wait()


class MortalDatabase(Database):
    def __init__(self, url: str, fate: Fate) -> None:
        super().__init__(url)
        self._fate = fate

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        try:
            async with super().transaction() as session:
                yield session
                self._fate.check()
        except Dead:
            await asyncio.Event().wait()
        await self._fate.moment()


class MortalCell:
    """The way to a cell: a call may have had its effect when nobody is there for the answer."""

    def __init__(self, cell: Provisioner, fate: Fate) -> None:
        self._cell = cell
        self._fate = fate

    async def create(self, ref: NamespaceRef, settings: NamespaceSettings) -> None:
        await self._fate.moment()
        await self._cell.create(ref, settings)
        await self._fate.moment()

    async def delete(self, ref: NamespaceRef) -> None:
        await self._fate.moment()
        await self._cell.delete(ref)
        await self._fate.moment()


class MortalStore:
    """The system cell's store as a process sees it; `store` outlives the process."""

    def __init__(self, store: Store, fate: Fate) -> None:
        self._store = store
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        await self._fate.moment()
        fenced = await self._store.commit(writes)
        await self._fate.moment()
        return fenced


class LaterEnv(SystemEnv):
    """The engine's world at a later time, so that nobody waits for what a dead process held."""

    def __init__(self, later: timedelta) -> None:
        super().__init__()
        later_ns = later // timedelta(microseconds=1) * 1_000
        self._clock = SlewedClock(wall_ns=lambda: time.time_ns() + later_ns)


@dataclass
class Life:
    """One process. `system` answers until it has died."""

    system: System
    fate: Fate

    async def client(self) -> Client | None:
        """None if it died before it was ready."""
        while not self.fate.died.is_set():
            if (client := self.system.client()) is not None:
                return client
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        return None


class Machine:
    """Where one process runs after the other, on the same store."""

    def __init__(self, folder: Path, store: Store | None = None) -> None:
        self._held = Installation(folder, Secrets(b"pepper" * 6, {1: b"k" * 32}, 1))
        self._store = store or MemoryStore()
        self._lives = 0

    @asynccontextmanager
    async def process(self, work: Work, fate: Fate | None = None) -> AsyncIterator[Life]:
        """Each a while later than the last. Ends in good order unless it has died: then at once."""
        fate = fate or Fate()
        store = cast(Store, LoneStore(cast(Store, MortalStore(self._store, fate))))
        later = timedelta(hours=self._lives)
        self._lives += 1
        system = System(self._held, store, lambda: LaterEnv(later))
        others = asyncio.all_tasks()
        serving = asyncio.create_task(system.serve(work))
        try:
            yield Life(system, fate)
            if serving.done():
                serving.result()
        finally:
            if not fate.died.is_set():
                serving.cancel()
                await asyncio.wait({serving}, timeout=STOP_SECONDS_MAX)
            fate.died.set()
            while mine := asyncio.all_tasks() - others:
                for task in mine:
                    task.cancel()
                await asyncio.wait(mine, timeout=LOOK_AGAIN_SECONDS)
            # Workflows that were under way complain when they are found, which is to be here.
            gc.collect()
