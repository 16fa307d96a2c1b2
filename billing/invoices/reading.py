"""What an account is told of its invoices. All read; the caller opens the unit of work."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from billing.tables import Invoice, InvoiceLine, InvoiceState
from tenancy import NotFound

INVOICES_PER_PAGE = 24
OPEN = (InvoiceState.SENT, InvoiceState.FAILED)


async def invoices_of(
    session: AsyncSession, account_id: str, before_hour: int | None = None
) -> Sequence[Invoice]:
    """The newest first, one page of those whose month begins before this hour."""
    asked = sa.select(Invoice).where(
        Invoice.account_id == account_id, Invoice.state != InvoiceState.DRAFT
    )
    if before_hour is not None:
        asked = asked.where(Invoice.from_hour < before_hour)
    found = await session.scalars(asked.order_by(Invoice.from_hour.desc()).limit(INVOICES_PER_PAGE))
    return found.all()


async def invoice_of(
    session: AsyncSession, account_id: str, invoice_id: str
) -> tuple[Invoice, Sequence[InvoiceLine]]:
    """The invoice with its lines. Raises NotFound, for a foreign one and for a draft too."""
    invoice = await session.get(Invoice, invoice_id)
    if invoice is None or invoice.account_id != account_id or invoice.state is InvoiceState.DRAFT:
        raise NotFound("invoice", invoice_id)
    lines = await session.scalars(
        sa.select(InvoiceLine)
        .where(InvoiceLine.invoice_id == invoice_id)
        .order_by(InvoiceLine.position)
    )
    return invoice, lines.all()


async def owed_cents(session: AsyncSession, account_id: str) -> int:
    """What is sent and not paid."""
    owed = await session.scalar(
        sa.select(sa.func.coalesce(sa.func.sum(Invoice.total_cents), 0)).where(
            Invoice.account_id == account_id, Invoice.state.in_(OPEN)
        )
    )
    return int(owed or 0)
