"""Carries what the door tells of calls to the audit log, without making a call wait for it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from api.dispatch import Act
from tenancy import AuditResult, ControlPlane, Database

logger = logging.getLogger(__name__)

ACTS_WAITING_MAX = 10_000
ACTS_PER_COMMIT_MAX = 200
IDLE_SECONDS = 60.0


class AuditTrail:
    """Acts wait in memory until `write`; beyond the limit the newest are dropped and counted."""

    def __init__(self, control: ControlPlane, database: Database) -> None:
        self._control = control
        self._database = database
        self._waiting: deque[Act] = deque()
        self._dropped = 0
        self.noted = asyncio.Event()

    def note(self, act: Act) -> None:
        if len(self._waiting) >= ACTS_WAITING_MAX:
            self._dropped += 1
            return
        self._waiting.append(act)
        self.noted.set()

    async def write(self) -> float:
        """Writes all that waits; a batch that fails is kept for the next time."""
        while self._waiting:
            batch = [self._waiting[i] for i in range(min(len(self._waiting), ACTS_PER_COMMIT_MAX))]
            async with self._database.transaction() as session:
                for act in batch:
                    await self._control.audit.record(
                        session,
                        act.principal,
                        act.action,
                        *act.target_ids,
                        result=AuditResult.DENIED if act.is_denied else AuditResult.ACCEPTED,
                    )
            for _ in batch:
                self._waiting.popleft()
        if self._dropped:
            logger.error("audit_records_dropped", extra={"dropped": self._dropped})
            self._dropped = 0
        return IDLE_SECONDS
