"""Letters as files, where there is no mail server: `.eml`, which every mail program opens."""

from __future__ import annotations

import asyncio
import os
from email.message import EmailMessage
from pathlib import Path

from tenancy.deliveries import NotDelivered


class MailFolder:
    """Mode 0700: letters hold links that open accounts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, message: EmailMessage) -> None:
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as error:
            raise NotDelivered(str(error), is_unreachable=True) from error

    def _write(self, message: EmailMessage) -> None:
        """Under a name of its own, so that a letter that is written twice is one file."""
        self._path.mkdir(mode=0o700, exist_ok=True)
        name = message["Message-ID"].strip("<>").partition("@")[0]
        path = self._path / f"{name}.eml"
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(bytes(message))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
