"""The outbox: a letter is a row in the unit of work that is its cause."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.database import POSTED, Model, Text, stored_enum
from tenancy.deliveries import Delivery
from tenancy.randomness import Now, TokenBytes, new_uuid
from tenancy.sealing import Sealer

RECIPIENT_CHARACTERS_MAX = 254
KIND_CHARACTERS_MAX = 40
SUBJECT_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Letter:
    """Plain text to one address."""

    to: str
    subject: str
    text: str

    def __post_init__(self) -> None:
        # What people chose, such as the name of an account, must not become a header of its own.
        assert self.subject.isprintable()
        assert len(self.subject) <= SUBJECT_CHARACTERS_MAX


class LetterState(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


class PostedLetter(Delivery, Model):
    """`sealed` is subject and text, which may hold a link that opens something; it is there while
    the letter waits.
    """

    __tablename__ = "letter"
    account_id: Mapped[str | None] = mapped_column(sa.ForeignKey("account.id"), index=True)
    kind: Mapped[str] = mapped_column(Text(KIND_CHARACTERS_MAX))
    recipient: Mapped[str] = mapped_column(Text(RECIPIENT_CHARACTERS_MAX))
    sealed: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    state: Mapped[LetterState] = mapped_column(stored_enum(LetterState))


class Outbox:
    def __init__(self, *, now: Now, token_bytes: TokenBytes, secret: bytes) -> None:
        self._now = now
        self._token_bytes = token_bytes
        self._sealer = Sealer(secret, purpose="letters", token_bytes=token_bytes)

    async def post(
        self, session: AsyncSession, letter: Letter, *, account_id: str | None, kind: str
    ) -> str:
        """Sends the letter once the caller's unit of work is committed; returns the letter's id.

        `kind` names the occasion in logs, such as `invitation`.
        """
        id, now = new_uuid(self._token_bytes), self._now()
        told = json.dumps([letter.subject, letter.text]).encode()
        session.add(
            PostedLetter(
                id=id,
                account_id=account_id,
                kind=kind,
                recipient=letter.to,
                sealed=self._sealer.seal(told, context=f"letter {id}"),
                state=LetterState.WAITING,
                attempts=0,
                created_at=now,
                due_at=now,
            )
        )
        session.info[POSTED] = True
        return id

    def opened(self, posted: PostedLetter) -> Letter:
        """What a letter that waits says."""
        assert posted.sealed is not None, "a letter that waits has its text"
        told = self._sealer.unseal(posted.sealed, context=f"letter {posted.id}")
        subject, text = json.loads(told)
        return Letter(posted.recipient, subject, text)
