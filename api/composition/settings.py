"""What whoever runs a cloud decides about its control plane."""

from __future__ import annotations

from dataclasses import dataclass, field

from api.config import Config
from api.mail_settings import MailSettings
from api.tls import TlsSettings
from billing.stripe import StripeSettings
from tenancy.outgoing import Outgoing


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """`database_url` is None where the database is a file of the installation, `stripe` where its
    stand-in answers.
    """

    console_address: str
    database_url: str | None = None
    tls: TlsSettings = field(default_factory=TlsSettings)
    mail: MailSettings = field(default_factory=MailSettings)
    stripe: StripeSettings | None = None
    outgoing: Outgoing = field(default_factory=Outgoing)


def cloud_settings(config: Config, address: str, database_url: str | None) -> CloudSettings:
    """`address` is where the console is unless it is said."""
    return CloudSettings(
        console_address=config.mail.console_url or address,
        database_url=database_url,
        tls=config.tls,
        mail=config.mail,
        stripe=config.stripe,
        outgoing=Outgoing(allows_loopback=config.allows_loopback),
    )
