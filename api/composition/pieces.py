"""What the control plane is put together from, before anything of it runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from api.audit_trail import AuditTrail
from api.budgeting import Budgeting
from api.cell_link import CellLinks
from api.cells import Cells
from api.composition.settings import CloudSettings
from api.installation import Installation
from api.payments import Payments
from api.system import ControlSystem
from tenancy import CellPlace, ControlPlane, Database, Passwords
from tenancy.clock import now
from tenancy.mail import MailFolder, Postman


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """`provision` is set when a cell has something to do."""

    control: ControlPlane
    database: Database
    passwords: Passwords
    cells: Cells
    links: CellLinks
    trail: AuditTrail
    system: ControlSystem
    payments: Payments
    budgeting: Budgeting
    postman: Postman
    provision: asyncio.Event = field(default_factory=asyncio.Event)


def make(
    installation: Installation,
    cells: Cells,
    settings: CloudSettings,
    database: Database,
    places: Sequence[CellPlace],
) -> Pieces:
    """Waits for nothing: `places` says where the `cells` are, not that they answer."""
    secret, console_address = installation.secrets.pepper, settings.console_address
    passwords, links = Passwords(token_bytes=os.urandom), CellLinks(cells)
    control = ControlPlane(
        database,
        now=now,
        token_bytes=os.urandom,
        pepper=secret,
        passwords=passwords,
        cells=places,
        snapshot_path=installation.snapshot_path,
        console_address=console_address,
        outgoing=settings.outgoing,
    )
    payments = Payments(
        control,
        database,
        installation,
        settings.stripe,
        now=now,
        token_bytes=os.urandom,
        console_address=console_address,
    )
    budgeting = Budgeting(
        control,
        database,
        settings.outgoing,
        secret=secret,
        now=now,
        token_bytes=os.urandom,
        console_address=console_address,
    )
    system = ControlSystem(
        installation,
        settings.database_url,
        control=control,
        provisioner=links,
        closing=payments.closing,
        cell_ids=tuple(cells),
        now=now,
    )
    postman = Postman(
        database=database,
        outbox=control.outbox,
        transport=settings.mail.server or MailFolder(installation.mail_path),
        sender=settings.mail.sender,
        now=now,
    )
    return Pieces(
        control=control,
        database=database,
        passwords=passwords,
        cells=cells,
        links=links,
        trail=AuditTrail(control, database, now),
        system=system,
        payments=payments,
        budgeting=budgeting,
        postman=postman,
    )
