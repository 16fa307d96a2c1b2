"""Carries what the door tells of calls to the audit log, many records in one commit."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from tenancy import Act, ControlPlane, Database
from tenancy.randomness import Now

logger = logging.getLogger(__name__)

ACTS_WAITING_MAX = 10_000
ACTS_PER_COMMIT_MAX = 200
IDLE_SECONDS = 60.0


class _Waiting(NamedTuple):
    """An act, and the caller that waits for its record."""

    act: Act
    written: asyncio.Future[None]


class AuditTrail:
    """One writer for all: whoever tells of an act waits until its record is on the disk.

    Cells are not kept from their work by a database that cannot be written: callers are let go
    after one attempt, and their acts stay in memory until there is a better one. Beyond the limit
    the newest are dropped and counted.
    """

    def __init__(self, control: ControlPlane, database: Database, now: Now) -> None:
        self._control = control
        self._database = database
        self._now = now
        self._waiting: deque[_Waiting] = deque()
        self._dropped = 0
        self.noted = asyncio.Event()
        """Set when there is something to write."""

    async def record(self, act: Act) -> None:
        """A caller that stops waiting leaves its act in the queue."""
        if len(self._waiting) >= ACTS_WAITING_MAX:
            self._dropped += 1
            return
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
            for _ in batch:
                self._waiting.popleft()
            _release(batch)
        if self._dropped:
            logger.error("audit_records_dropped", extra={"dropped": self._dropped})
            self._dropped = 0
        return IDLE_SECONDS


def _release(waiting: Iterable[_Waiting]) -> None:
    for _, written in waiting:
        if not written.done():
            written.set_result(None)
