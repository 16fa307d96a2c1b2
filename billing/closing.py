"""Closing a month: small steps, each of which may be repeated and changes nothing then.

Whoever drives them goes on after a crash with the step that was under way:
`is_complete` → `accounts` → for each account `snapshot` → `finalize` → `create_items` → `send`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import sqlalchemy as sa

from billing.errors import PeriodOpen
from billing.invoices.snapshot import find_invoice, snapshot_invoice
from billing.invoices.states import advance
from billing.tables import Counter, Invoice, InvoiceState, UsageCursor
from billing.times import hour_start, month_named
from tenancy import Account, ControlPlane, Database, system_principal
from tenancy.accounts import locked_account
from tenancy.dialects import insert
from tenancy.randomness import Now, TokenBytes, new_uuid

GRACE_HOURS = 2
"""How much later than its event a fact may be committed: clocks of cells differ, stores stall."""

ACCOUNTS_PER_PAGE = 500
SYSTEM = "billing"
NUMBERS = "invoice"


class InvoiceDelivery(Protocol):
    """How a finalized invoice reaches who pays it. Both may be repeated."""

    async def create_items(self, invoice_id: str) -> None:
        """The payment service knows each line, and asks nobody for money yet."""

    async def send(self, invoice_id: str) -> None:
        """The payment service collects."""


class Closing:
    """Months are named as `2026-11`, invoices by their id."""

    def __init__(
        self,
        control: ControlPlane,
        database: Database,
        delivery: InvoiceDelivery,
        *,
        now: Now,
        token_bytes: TokenBytes,
    ) -> None:
        self._control = control
        self._database = database
        self._delivery = delivery
        self._now = now
        self._token_bytes = token_bytes

    async def is_complete(self, month: str, cell_ids: Sequence[str]) -> bool:
        """Whether all that these cells counted in the month is collected.

        A cell is read to its end after the month and its grace were over: what was committed until
        then is usage now. A fact that is committed later still is a line of the next invoice.
        """
        behind = month_named(month).to_hour + GRACE_HOURS
        async with self._database.reading() as session:
            complete = await session.scalar(
                sa.select(sa.func.count()).where(
                    UsageCursor.cell_id.in_(cell_ids), UsageCursor.complete_hour >= behind
                )
            )
        return complete == len(set(cell_ids))

    async def accounts(self, month: str, after: str = "") -> list[str]:
        """One page of the accounts that the month is invoiced to, behind the id `after`."""
        end = hour_start(month_named(month).to_hour)
        async with self._database.reading() as session:
            found = await session.scalars(
                sa.select(Account.id)
                .where(Account.created_at < end, Account.id > after)
                .order_by(Account.id)
                .limit(ACCOUNTS_PER_PAGE)
            )
            return list(found)

    async def snapshot(self, account_id: str, month: str) -> str:
        """Rates the month and keeps what came of it; the invoice's id. Raises PeriodOpen."""
        period = month_named(month)
        now = self._now()
        if now < hour_start(period.to_hour) + timedelta(hours=GRACE_HOURS):
            raise PeriodOpen(month)
        async with self._database.transaction() as session:
            await locked_account(session, account_id)
            known = await find_invoice(session, account_id, period)
            if known is not None:
                return known.id
            made = await snapshot_invoice(
                session, account_id, period, id=new_uuid(self._token_bytes), at=now
            )
            actor = system_principal(account_id, SYSTEM)
            await self._control.audit.record(session, actor, "invoice.draft", made.id)
            return made.id

    async def finalize(self, invoice_id: str) -> int:
        """Gives the invoice its number, the next of the installation; the number."""
        async with self._database.reading() as session:
            account_id = (await session.get_one(Invoice, invoice_id)).account_id
        async with self._database.transaction() as session:
            await locked_account(session, account_id)
            invoice = await session.get_one(Invoice, invoice_id, populate_existing=True)
            if invoice.number is not None:
                return invoice.number
            await session.execute(
                insert(session, Counter)
                .values(name=NUMBERS, last=0)
                .on_conflict_do_nothing(index_elements=["name"])
            )
            # Its row is locked until the commit, so that a number is never left out.
            number = (
                await session.scalars(
                    sa.update(Counter)
                    .where(Counter.name == NUMBERS)
                    .values(last=Counter.last + 1)
                    .returning(Counter.last)
                )
            ).one()
            invoice.number = number
            advance(invoice, InvoiceState.FINALIZED, self._now())
            actor = system_principal(account_id, SYSTEM)
            await self._control.audit.record(session, actor, "invoice.finalize", invoice_id)
            return number

    async def create_items(self, invoice_id: str) -> None:
        """Tells the payment service of the invoice and each line; of an invoice of 0, nothing."""
        await self._delivery.create_items(invoice_id)

    async def send(self, invoice_id: str) -> None:
        """Has the payment service collect; an invoice of 0 is not sent."""
        await self._delivery.send(invoice_id)

    async def close_account(self, account_id: str, month: str) -> str:
        """All steps of one account in their order; the invoice's id."""
        invoice_id = await self.snapshot(account_id, month)
        await self.finalize(invoice_id)
        await self.create_items(invoice_id)
        await self.send(invoice_id)
        return invoice_id

    async def close(self, month: str, cell_ids: Sequence[str]) -> None:
        """All steps of a month in their order. Raises PeriodOpen."""
        if not await self.is_complete(month, cell_ids):
            raise PeriodOpen(month)
        after = ""
        while page := await self.accounts(month, after):
            for after in page:
                await self.close_account(after, month)
