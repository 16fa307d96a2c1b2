"""Letters by SMTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import aiosmtplib

from tenancy.deliveries import NotDelivered
from tenancy.errors import InvalidField

SMTP = "smtp"
SMTP_TLS = "smtps"
PORTS = {SMTP: 587, SMTP_TLS: 465}
ANSWER_SECONDS_MAX = 30.0
PERMANENT = 500
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where letters are handed in. `is_tls` is TLS from the first byte; otherwise STARTTLS is
    insisted on, as whoever is in between could strike it out, except on this machine.
    """

    host: str
    port: int
    is_tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    async def send(self, message: EmailMessage) -> None:
        try:
            await aiosmtplib.send(
                message,
                hostname=self.host,
                port=self.port,
                username=self.user,
                password=self.password,
                use_tls=self.is_tls,
                start_tls=self._starts_tls,
                timeout=ANSWER_SECONDS_MAX,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            raise NotDelivered(str(error), is_final=min(codes) >= PERMANENT) from error
        except aiosmtplib.SMTPDataError as error:
            raise NotDelivered(str(error), is_final=error.code >= PERMANENT) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            # Also a refused password: it concerns every letter, and an operator can mend it.
            raise NotDelivered(str(error), is_unreachable=True) from error

    @property
    def _starts_tls(self) -> bool | None:
        if self.is_tls:
            return False
        # None: where it is offered.
        return None if self.host in LOOPBACK else True


def smtp_server(url: str) -> SmtpServer:
    """Raises InvalidField, which does not repeat the URL: it may hold a password."""
    wrong = InvalidField(
        "smtp_url", "must be smtp[s]://USER:PASSWORD@HOST:PORT", "correct the address"
    )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if host is None or parts.scheme not in PORTS or parts.path not in ("", "/"):
        raise wrong
    return SmtpServer(
        host=host,
        port=port or PORTS[parts.scheme],
        is_tls=parts.scheme == SMTP_TLS,
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )
