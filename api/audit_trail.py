"""Carries what the door tells of calls to the audit log, many records in one commit."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import islice

from api.transports.errors import AuditLogFull
from tenancy import Act, ControlPlane, Database
from tenancy.randomness import Now

ACTS_WAITING_MAX = 10_000
ACTS_WAITING_PER_ACCOUNT_MAX = 2_000
"""So that no account takes the room of the others."""

ACTS_PER_COMMIT_MAX = 200
IDLE_SECONDS = 60.0


class Places:
    """Room for acts that are under way or not in the audit log yet, by account.

    `taken` are those that an earlier process left.
    """

    def __init__(self, taken: Counter[str]) -> None:
        self._taken = taken
        self.count = taken.total()

    def take(self, account_id: str, total_max: int, account_max: int) -> None:
        """Raises AuditLogFull where there is no room."""
        if self.count >= total_max or self._taken[account_id] >= account_max:
            raise AuditLogFull
        self._taken[account_id] += 1
        self.count += 1

    def leave(self, account_id: str, count: int = 1) -> None:
        self.count -= count
        self._taken[account_id] -= count
        if not self._taken[account_id]:
            del self._taken[account_id]


class Trail(ABC):
    """Whoever tells of an act waits in a row with the others until its record is written.

    Where there is no room for an act any more, it is refused before it is done. None is dropped.
    """

    def __init__(self, now: Now, taken: Counter[str]) -> None:
        self._now = now
        self._waiting: deque[tuple[Act, asyncio.Future[None]]] = deque()
        self._places = Places(taken)
        self.noted = asyncio.Event()
        """Set when there is something to write."""

    @property
    def waiting_count(self) -> int:
        """Acts under way, and those that the audit log does not have yet."""
        return self._places.count

    @asynccontextmanager
    async def recording(self, act: Act) -> AsyncIterator[None]:
        """Is entered before the act is done and left when its record is written.

        An act that fails leaves no record; a caller that stops waiting leaves it in the queue.
        Raises AuditLogFull on entering.
        """
        account_id = act.actor.account_id
        self._take_place(account_id)
        try:
            yield
        except BaseException:
            self._places.leave(account_id)
            raise
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((replace(act, at=self._now()), written))
        self.noted.set()
        await written

    @abstractmethod
    def _take_place(self, account_id: str) -> None:
        """Raises AuditLogFull where there is none for an act."""

    async def _write_all(
        self, record: Callable[[Sequence[Act]], Awaitable[None]], count_max: int
    ) -> None:
        """Lets callers go as their acts are recorded, in order. A batch whose `record` raises is
        kept for the next time.
        """
        while batch := [act for act, _ in islice(self._waiting, count_max)]:
            await record(batch)
            self._let_go(len(batch))
            for _ in batch:
                self._waiting.popleft()

    def _let_go(self, count: int) -> None:
        for _, written in islice(self._waiting, count):
            if not written.done():
                written.set_result(None)


class AuditTrail(Trail):
    """One writer for all: records are in the audit log's database when callers go on.

    Cells are not kept from their work by a database that cannot be written: callers are let go
    after one attempt, and their acts stay in memory until there is a better one.
    """

    def __init__(self, control: ControlPlane, database: Database, now: Now) -> None:
        super().__init__(now, Counter())
        self._control = control
        self._database = database

    async def write(self) -> float:
        """Writes all that waits; a batch that fails is kept for the next time."""
        try:
            await self._write_all(self._record, ACTS_PER_COMMIT_MAX)
        except Exception:
            self._let_go(len(self._waiting))
            raise
        return IDLE_SECONDS

    def _take_place(self, account_id: str) -> None:
        self._places.take(account_id, ACTS_WAITING_MAX, ACTS_WAITING_PER_ACCOUNT_MAX)

    async def _record(self, acts: Sequence[Act]) -> None:
        async with self._database.transaction() as session:
            await self._control.audit.record_all(session, acts)
        for act in acts:
            self._places.leave(act.actor.account_id)
