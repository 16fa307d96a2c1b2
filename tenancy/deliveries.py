"""Delivering what waits in a table: claim, send, note what came of it.

A crash between sending and noting sends again and loses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.database import Database, Text, UtcDateTime, forget
from tenancy.randomness import Now

ATTEMPTS_MAX = 16
BACKOFF_SECONDS_FIRST = 15
BACKOFF_SECONDS_MAX = 3_600
KEPT_DAYS = 30
PER_ROUND_MAX = 100


class NotDelivered(Exception):
    """Nobody took it over. Trying again is of no use if that is final; if nobody can be reached at
    all, the others need not be tried now either.
    """

    def __init__(self, why: str, *, is_final: bool = False, is_unreachable: bool = False) -> None:
        super().__init__(why)
        self.is_final = is_final
        self.is_unreachable = is_unreachable


class Delivery:
    """A row that is to be delivered: `due_at` is there while it waits, `ended_at` afterwards."""

    id: Mapped[str] = mapped_column(Text(36), primary_key=True)
    attempts: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)


Row = TypeVar("Row", bound=Delivery)


class Deliveries(Generic[Row]):
    """All rows of a kind. Several servers may work on them: each claims what it sends.

    `send` raises NotDelivered. `note` writes into the row what the problem was, nothing if it was
    taken over. A claim lasts `claim_seconds`: well above what one attempt may take.
    """

    def __init__(
        self,
        kind: type[Row],
        send: Callable[[Row], Awaitable[None]],
        note: Callable[[Row, str], None],
        *,
        database: Database,
        now: Now,
        claim_seconds: float,
        at_once: int = 1,
    ) -> None:
        self._kind = kind
        self._send = send
        self._note = note
        self._database = database
        self._now = now
        self._claim_seconds = claim_seconds
        self._at_once = at_once

    async def deliver(self) -> int:
        """Sends what is due, some of it side by side; returns how much was taken over."""
        if not await self._is_any_due():
            return 0
        delivered = 0
        for _ in range(0, PER_ROUND_MAX, self._at_once):
            claimed = await self._claim()
            refusals = await asyncio.gather(*map(self._attempt, claimed))
            delivered += refusals.count(None)
            is_over = len(claimed) < self._at_once
            if is_over or any(refusal and refusal.is_unreachable for refusal in refusals):
                break
        await self._forget_old()
        return delivered

    async def _is_any_due(self) -> bool:
        async with self._database.reading() as session:
            due = sa.exists().where(self._kind.due_at <= self._now())
            return bool(await session.scalar(sa.select(due)))

    async def _claim(self) -> Sequence[Row]:
        """What is due longest, nobody else's for a while. It counts as an attempt now, so that what
        ends the process each time is given up too.
        """
        now = self._now()
        async with self._database.transaction() as session:
            rows = await session.scalars(
                sa.select(self._kind)
                .where(self._kind.due_at <= now)
                .order_by(self._kind.due_at)
                .limit(self._at_once)
                .with_for_update(skip_locked=True)
            )
            claimed = rows.all()
            for row in claimed:
                row.attempts += 1
                row.due_at = now + timedelta(seconds=self._claim_seconds)
        return claimed

    async def _attempt(self, claimed: Row) -> NotDelivered | None:
        refusal = None
        try:
            await self._send(claimed)
        except NotDelivered as error:
            refusal = error
        is_over = not refusal or refusal.is_final or claimed.attempts >= ATTEMPTS_MAX
        now = self._now()
        async with self._database.transaction() as session:
            row = await session.get(self._kind, claimed.id)
            # It may be gone by now with what it belongs to, or ended by one whose claim came after.
            if row is not None and row.ended_at is None:
                row.due_at = None if is_over else now + backoff(claimed.attempts)
                row.ended_at = now if is_over else None
                self._note(row, str(refusal or ""))
        return refusal

    async def _forget_old(self) -> None:
        kept_since = self._now() - timedelta(days=KEPT_DAYS)
        async with self._database.transaction() as session:
            await forget(session, self._kind.id, self._kind.ended_at < kept_since)


def backoff(attempts: int) -> timedelta:
    """The wait after that many attempts."""
    return timedelta(seconds=min(BACKOFF_SECONDS_FIRST * 2 ** (attempts - 1), BACKOFF_SECONDS_MAX))
