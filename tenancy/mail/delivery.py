"""Delivery of letters: one that is sent twice has the same Message-ID."""

from __future__ import annotations

import logging
from email.message import EmailMessage
from typing import Protocol

from tenancy.database import Database
from tenancy.deliveries import Deliveries
from tenancy.mail.outbox import LetterState, Outbox, PostedLetter
from tenancy.randomness import Now

logger = logging.getLogger(__name__)

CLAIM_SECONDS = 180


class MailTransport(Protocol):
    async def send(self, message: EmailMessage) -> None:
        """Returns once somebody else answers for the letter; raises NotDelivered."""


class Postman:
    """Takes letters from the outbox to a mail server."""

    def __init__(
        self,
        *,
        database: Database,
        outbox: Outbox,
        transport: MailTransport,
        sender: str,
        now: Now,
    ) -> None:
        self._outbox = outbox
        self._transport = transport
        self._sender = sender
        self._letters = Deliveries(
            PostedLetter,
            self._send,
            _note,
            database=database,
            now=now,
            claim_seconds=CLAIM_SECONDS,
        )

    async def deliver(self) -> int:
        """Sends what is due; returns how many letters were taken over."""
        return await self._letters.deliver()

    async def _send(self, posted: PostedLetter) -> None:
        letter = self._outbox.opened(posted)
        message = EmailMessage()
        # Mailboxes show a letter that comes twice once.
        message["Message-ID"] = f"<{posted.id}@{self._sender.rpartition('@')[2]}>"
        message["From"] = self._sender
        message["To"] = letter.to
        message["Subject"] = letter.subject
        message["Date"] = posted.created_at
        # Answering machines leave such letters alone (RFC 3834).
        message["Auto-Submitted"] = "auto-generated"
        # As it is where it can be: links are not broken over lines.
        message.set_content(letter.text, cte="7bit" if letter.text.isascii() else None)
        await self._transport.send(message)


def _note(letter: PostedLetter, problem: str) -> None:
    # The problem may quote the address, so it is not for the log.
    told = {"letter": letter.id, "kind": letter.kind, "attempt": letter.attempts}
    if letter.ended_at is None:
        logger.info("letter_put_off", extra=told)
        return
    letter.state, letter.sealed = LetterState.SENT, None
    if problem:
        letter.state = LetterState.FAILED
        logger.warning("letter_given_up", extra=told)
