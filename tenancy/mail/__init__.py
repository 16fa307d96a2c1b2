"""Letters: posted with the change that they tell of, sent later, never lost."""

from __future__ import annotations

from tenancy.mail.delivery import MailTransport, Postman
from tenancy.mail.folder import MailFolder
from tenancy.mail.outbox import Letter, Outbox
from tenancy.mail.smtp import SmtpServer, smtp_server

__all__ = [
    "Letter",
    "MailFolder",
    "MailTransport",
    "Outbox",
    "Postman",
    "SmtpServer",
    "smtp_server",
]
