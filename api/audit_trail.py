"""Carries what the door tells of calls to the audit log, many records in one commit."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Sequence
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


class Places:
    """Room for acts that are under way or not in the audit log yet, by account."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def take(self, account_id: str, total_max: int, account_max: int) -> None:
        """Raises AuditLogFull where there is no room."""
        if self._taken.total() >= total_max or self._taken[account_id] >= account_max:
            raise AuditLogFull
        self._taken[account_id] += 1

    def leave(self, account_id: str, count: int = 1) -> None:
        self._taken[account_id] -= count
        if not self._taken[account_id]:
            del self._taken[account_id]

    @property
    def count(self) -> int:
        return self._taken.total()

    def fill(self, taken: Counter[str]) -> None:
        """With what an earlier process left."""
        self._taken.update(taken)


class Waiting(NamedTuple):
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
        self._waiting: deque[Waiting] = deque()
        self._places = Places()
        self.noted = asyncio.Event()
        """Set when there is something to write."""

    @property
    def waiting_count(self) -> int:
        """Acts under way, and those whose record is not written yet."""
        return self._places.count

    @asynccontextmanager
    async def recording(self, act: Act) -> AsyncIterator[None]:
        """Is entered before the act is done and left when its record is written.

        An act that fails leaves no record; a caller that stops waiting leaves it in the queue.
        Raises AuditLogFull on entering.
        """
        account_id = act.actor.account_id
        self._places.take(account_id, ACTS_WAITING_MAX, ACTS_WAITING_PER_ACCOUNT_MAX)
        try:
            yield
        except BaseException:
            self._places.leave(account_id)
            raise
        written = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(replace(act, at=self._now()), written))
        self.noted.set()
        await written

    async def write(self) -> float:
        """Writes all that waits; a batch that fails is kept for the next time."""
        while batch := first(self._waiting, ACTS_PER_COMMIT_MAX):
            try:
                async with self._database.transaction() as session:
                    acts = [waiting.act for waiting in batch]
                    await self._control.audit.record_all(session, acts)
            except Exception:
                release(self._waiting)
                raise
            for waiting in batch:
                self._waiting.popleft()
                self._places.leave(waiting.act.actor.account_id)
            release(batch)
        return IDLE_SECONDS


def first(waiting: deque[Waiting], count: int) -> Sequence[Waiting]:
    return [waiting[i] for i in range(min(len(waiting), count))]


def release(waiting: Iterable[Waiting]) -> None:
    for _, written in waiting:
        if not written.done():
            written.set_result(None)
