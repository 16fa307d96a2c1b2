"""A mail server for tests, in their own event loop: who waits for a letter gets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from aiosmtpd.smtp import SMTP, Envelope, Session

LETTER_SECONDS_MAX = 60.0


class Mailbox:
    """Takes every letter over. `url` is where it listens."""

    def __init__(self) -> None:
        self.url = ""
        self.letters: list[EmailMessage] = []
        self._arrived = asyncio.Condition()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        letter = message_from_bytes(envelope.content, policy=default)
        assert isinstance(letter, EmailMessage)
        async with self._arrived:
            self.letters.append(letter)
            self._arrived.notify_all()
        return "250 OK"

    async def letter(self, to: str, subject: str) -> str:
        """The text of the latest letter to that address whose subject begins so."""

        def found() -> str | None:
            for letter in reversed(self.letters):
                if letter["To"] == to and letter["Subject"].startswith(subject):
                    return str(letter.get_content())
            return None

        async with asyncio.timeout(LETTER_SECONDS_MAX), self._arrived:
            await self._arrived.wait_for(found)
        text = found()
        assert text is not None
        return text

    async def token(self, to: str, subject: str) -> str:
        """That of the link in such a letter."""
        text = await self.letter(to, subject)
        return text.partition("?token=")[2].split()[0]


@asynccontextmanager
async def open_mailbox() -> AsyncIterator[Mailbox]:
    mailbox = Mailbox()
    listener = await asyncio.get_running_loop().create_server(
        lambda: SMTP(mailbox, hostname="mailbox.test"), "127.0.0.1", 0
    )
    port = listener.sockets[0].getsockname()[1]
    mailbox.url = f"smtp://127.0.0.1:{port}"
    yield mailbox
    listener.close()
    await listener.wait_closed()
