"""Delivery: claim, send, mark. A crash in between may send a letter twice and loses none."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Protocol

import sqlalchemy as sa

from tenancy.database import Database, forget
from tenancy.mail.outbox import Letter, LetterState, Outbox, PostedLetter
from tenancy.randomness import Now

logger = logging.getLogger(__name__)

CLAIM_SECONDS = 180
"""How long a letter is its claimer's; well above what one attempt may take."""

ATTEMPTS_MAX = 16
BACKOFF_SECONDS_FIRST = 15
BACKOFF_SECONDS_MAX = 3_600
LETTER_KEPT_DAYS = 30
LETTERS_PER_ROUND_MAX = 100


class NotSent(Exception):
    """A letter was not taken over. Trying again is of no use if it is final; if nobody can be
    reached at all, other letters need not be tried now either.
    """

    def __init__(self, why: str, *, is_final: bool = False, is_unreachable: bool = False) -> None:
        super().__init__(why)
        self.is_final = is_final
        self.is_unreachable = is_unreachable


class MailTransport(Protocol):
    async def send(self, message: EmailMessage) -> None:
        """Returns once somebody else answers for the letter; raises NotSent."""


class Postman:
    """Several may work on one database: each claims a letter before it is sent."""

    def __init__(
        self,
        *,
        database: Database,
        outbox: Outbox,
        transport: MailTransport,
        sender: str,
        now: Now,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._transport = transport
        self._sender = sender
        self._now = now

    async def deliver(self) -> int:
        """Sends what is due; returns how many letters were taken over."""
        if not await self._is_any_due():
            return 0
        sent = 0
        for _ in range(LETTERS_PER_ROUND_MAX):
            claimed = await self._claim()
            if claimed is None:
                break
            try:
                await self._transport.send(self._message(claimed))
            except NotSent as refusal:
                await self._failed(claimed, refusal)
                if refusal.is_unreachable:
                    break
            else:
                await self._ended(claimed.id, LetterState.SENT)
                sent += 1
        await self._forget_old()
        return sent

    async def _is_any_due(self) -> bool:
        async with self._database.reading() as session:
            due = sa.select(PostedLetter.id).where(PostedLetter.due_at <= self._now())
            return await session.scalar(due.limit(1)) is not None

    async def _claim(self) -> PostedLetter | None:
        """The letter that is due longest, nobody else's for a while. It counts as an attempt now,
        so that a letter that ends the process each time is given up too.
        """
        now = self._now()
        async with self._database.transaction() as session:
            query = (
                sa.select(PostedLetter)
                .where(PostedLetter.due_at <= now)
                .order_by(PostedLetter.due_at)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            letter = (await session.scalars(query)).first()
            if letter is None:
                return None
            letter.attempts += 1
            letter.due_at = now + timedelta(seconds=CLAIM_SECONDS)
        return letter

    async def _failed(self, claimed: PostedLetter, refusal: NotSent) -> None:
        # The reason may quote the address, so it is not for the log.
        told = {"letter": claimed.id, "kind": claimed.kind, "attempt": claimed.attempts}
        if refusal.is_final or claimed.attempts >= ATTEMPTS_MAX:
            logger.warning("letter_given_up", extra=told)
            await self._ended(claimed.id, LetterState.FAILED)
            return
        logger.info("letter_put_off", extra=told)
        async with self._database.transaction() as session:
            letter = await session.get_one(PostedLetter, claimed.id)
            letter.due_at = self._now() + backoff(claimed.attempts)

    async def _ended(self, letter_id: str, state: LetterState) -> None:
        async with self._database.transaction() as session:
            (await session.get_one(PostedLetter, letter_id)).end(state, self._now())

    async def _forget_old(self) -> None:
        kept_since = self._now() - timedelta(days=LETTER_KEPT_DAYS)
        async with self._database.transaction() as session:
            await forget(session, PostedLetter.id, PostedLetter.ended_at < kept_since)

    def _message(self, posted: PostedLetter) -> EmailMessage:
        return message_of(
            self._outbox.opened(posted),
            id=posted.id,
            sender=self._sender,
            written_at=posted.created_at,
        )


def backoff(attempts: int) -> timedelta:
    """The wait after that many attempts."""
    return timedelta(seconds=min(BACKOFF_SECONDS_FIRST * 2 ** (attempts - 1), BACKOFF_SECONDS_MAX))


def message_of(letter: Letter, *, id: str, sender: str, written_at: datetime) -> EmailMessage:
    """A letter that is sent twice has the same Message-ID, so mailboxes show it once."""
    message = EmailMessage()
    message["Message-ID"] = f"<{id}@{sender.rpartition('@')[2]}>"
    message["From"] = sender
    message["To"] = letter.to
    message["Subject"] = letter.subject
    message["Date"] = written_at
    # Answering machines leave such letters alone (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    # As it is where it can be: links are not broken over lines.
    message.set_content(letter.text, cte="7bit" if letter.text.isascii() else None)
    return message
