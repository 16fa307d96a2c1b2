"""The settings of letters on the command line and in the environment."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from tenancy import InvalidField
from tenancy.mail import SmtpServer, smtp_server
from tenancy.users import normalized_email

SMTP_VARIABLE = "PERDURE_SMTP_URL"
SENDER_VARIABLE = "PERDURE_MAIL_FROM"
PUBLIC_VARIABLE = "PERDURE_PUBLIC_URL"
SENDER_DEFAULT = "perdure@localhost"
_SENDER = re.compile(r"[^@\s]+@localhost")


@dataclass(frozen=True, slots=True)
class MailSettings:
    """Without an SMTP server letters become files. `console_url` is what links in letters begin
    with, where that is not the address that the server listens on.
    """

    smtp_url: str | None = None
    sender: str = SENDER_DEFAULT
    console_url: str | None = None

    @property
    def server(self) -> SmtpServer | None:
        return None if self.smtp_url is None else smtp_server(self.smtp_url)


def add_arguments(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    parser.add_argument(
        "--smtp-url",
        type=_smtp_url,
        metavar="URL",
        default=environment.get(SMTP_VARIABLE) or None,
        help="send letters by this server, smtp[s]://USER:PASSWORD@HOST:PORT; files in DATA/mail"
        f" if left out (also: {SMTP_VARIABLE})",
    )
    parser.add_argument(
        "--mail-from",
        type=_sender,
        metavar="ADDRESS",
        default=environment.get(SENDER_VARIABLE) or SENDER_DEFAULT,
        help=f"the sender of letters (also: {SENDER_VARIABLE})",
    )
    parser.add_argument(
        "--console-url",
        type=_console_url,
        metavar="URL",
        default=environment.get(PUBLIC_VARIABLE) or None,
        help="where browsers find the console, for links in letters; the address of this server if"
        f" left out (also: {PUBLIC_VARIABLE})",
    )


def mail_settings(given: argparse.Namespace) -> MailSettings:
    return MailSettings(given.smtp_url, given.mail_from, given.console_url)


def as_arguments(settings: MailSettings) -> list[str]:
    """What tells another process the same; the server's URL goes by the environment."""
    told = {
        "--mail-from": settings.sender,
        "--console-url": settings.console_url,
    }
    return [text for name, it in told.items() if it is not None for text in (name, it)]


def as_environment(settings: MailSettings) -> dict[str, str]:
    """The rest of it, with the password."""
    return {} if settings.smtp_url is None else {SMTP_VARIABLE: settings.smtp_url}


def _smtp_url(text: str) -> str:
    try:
        smtp_server(text)
    except InvalidField as error:
        raise argparse.ArgumentTypeError(f"an SMTP URL {error.limit}") from None
    return text


def _sender(text: str) -> str:
    try:
        return text if _SENDER.fullmatch(text) else normalized_email(text)
    except InvalidField as error:
        raise argparse.ArgumentTypeError(f"a sender {error.limit}") from None


def _console_url(text: str) -> str:
    parts = urlsplit(text)
    is_address = parts.scheme in ("http", "https") and parts.hostname is not None
    if not is_address or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError("a console URL is http[s]://HOST or http[s]://HOST:PORT")
    return text.rstrip("/")
