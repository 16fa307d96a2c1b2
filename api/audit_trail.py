"""Carries what the door tells of calls to the audit log, many records in one commit."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import NamedTuple

from api.transports.errors import AuditLogFull
from tenancy import Act, ControlPlane, Database
from tenancy.randomness import Now

ACTS_WAITING_MAX = 10_000
ACTS_WAITING_PER_ACCOUNT_MAX = 2_000
"""So that no account takes the room of the others."""

ACTS_PER_COMMIT_MAX = 200
IDLE_SECONDS = 60.0


class _Waiting(NamedTuple):
    """An act, and the caller that waits for its record."""

    act: Act
    written: asyncio.Future[None]


class AuditTrail:
    """One writer for all: whoever tells of an act waits until its record is on the disk.

    Cells are not kept from their work by a database that cannot be written: callers are let go
    after one attempt, and their acts stay in memory until there is a better one. Where there is no
    room for an act any more, it is refused before it is done. None is dropped.
    """

    def __init__(self, control: ControlPlane, database: Database, now: Now) -> None:
        self._control = control
        self._database = database
        self._now = now
        self._waiting: deque[_Waiting] = deque()
        self._places: Counter[str] = Counter()
        """Acts under way and waiting, by account."""
        self.noted = asyncio.Event()
        """Set when there is something to write."""

    @asynccontextmanager
    async def recording(self, act: Act) -> AsyncIterator[None]:
        """Is entered before the act is done and left when its record is written.

        An act that fails leaves no record; a caller that stops waiting leaves it in the queue.
        Raises AuditLogFull on entering.
        """
        self._take_place(act.actor.account_id)
        try:
            yield
        except BaseException:
            self._leave_place(act.actor.account_id)
            raise
        written = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(replace(act, at=self._now()), written))
        self.noted.set()
        await written

    async def write(self) -> float:
        """Writes all that waits; a batch that fails is kept for the next time."""
        while self._waiting:
            batch = [self._waiting[i] for i in range(min(len(self._waiting), ACTS_PER_COMMIT_MAX))]
            try:
                async with self._database.transaction() as session:
                    acts = [waiting.act for waiting in batch]
                    await self._control.audit.record_all(session, acts)
            except Exception:
                _release(self._waiting)
                raise
            for waiting in batch:
                self._waiting.popleft()
                self._leave_place(waiting.act.actor.account_id)
            _release(batch)
        return IDLE_SECONDS

    def _take_place(self, account_id: str) -> None:
        if (
            self._places.total() >= ACTS_WAITING_MAX
            or self._places[account_id] >= ACTS_WAITING_PER_ACCOUNT_MAX
        ):
            raise AuditLogFull
        self._places[account_id] += 1

    def _leave_place(self, account_id: str) -> None:
        self._places[account_id] -= 1
        if not self._places[account_id]:
            del self._places[account_id]


def _release(waiting: Iterable[_Waiting]) -> None:
    for _, written in waiting:
        if not written.done():
            written.set_result(None)
