"""What follows a failed payment: letters, then no new starts, until it is made."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from billing.invoices.text import amount_of, invoice_number
from billing.tables import Invoice, InvoiceState
from billing.times import month_title
from tenancy import AccountRole, ControlPlane, Database, User
from tenancy.accounts import locked_account
from tenancy.mail import Letter
from tenancy.randomness import Now
from tenancy.restrictions import RestrictionCause

REMINDER_DAYS = (0, 3, 7, 14)
"""How long after the first failed payment each letter is written; with the last, starts stop."""

KIND = "payment_failed"
READERS = (AccountRole.OWNER, AccountRole.FINANCE_ADMIN)


class Reminders:
    """`console_address` is where the letters send their readers."""

    def __init__(
        self, control: ControlPlane, database: Database, *, now: Now, console_address: str
    ) -> None:
        self._control = control
        self._database = database
        self._now = now
        self._console_address = console_address

    async def write(self) -> None:
        """Each letter that is due by now."""
        async with self._database.reading() as session:
            failed = await session.execute(
                sa.select(Invoice.account_id, Invoice.id).where(
                    Invoice.state == InvoiceState.FAILED,
                    Invoice.reminder_count < len(REMINDER_DAYS),
                )
            )
            owed = failed.all()
        for account_id, invoice_id in owed:
            async with self._database.transaction() as session:
                await locked_account(session, account_id)
                invoice = await session.get_one(Invoice, invoice_id)
                if invoice.state is InvoiceState.FAILED:
                    await self.write_due(session, invoice)

    async def write_due(self, session: AsyncSession, invoice: Invoice) -> None:
        """The letter that is due of a failed invoice; the account is locked. One that was missed
        while nothing ran is left out.
        """
        assert invoice.failed_at is not None, "a failed invoice failed at some time"
        age = self._now() - invoice.failed_at
        due = sum(age >= timedelta(days=days) for days in REMINDER_DAYS)
        if due <= invoice.reminder_count:
            return
        invoice.reminder_count = due
        is_last = due == len(REMINDER_DAYS)
        letter = self._text(invoice, is_last=is_last)
        subject = f"Payment of invoice {_number(invoice)} failed"
        for email in await _readers(session, invoice.account_id):
            await self._control.outbox.post(
                session, Letter(email, subject, letter), account_id=invoice.account_id, kind=KIND
            )
        if is_last:
            await self._restrict(session, invoice)

    async def end(self, session: AsyncSession, invoice: Invoice) -> None:
        """It is paid or void; starts are free again unless another invoice is as late."""
        await session.flush()
        late = await session.scalar(
            sa.select(Invoice)
            .where(
                Invoice.account_id == invoice.account_id,
                Invoice.state == InvoiceState.FAILED,
                Invoice.reminder_count >= len(REMINDER_DAYS),
            )
            .order_by(Invoice.number)
            .limit(1)
        )
        if late is not None:
            await self._restrict(session, late)
            return
        await self._control.restrictions.lift_restriction(
            session,
            account_id=invoice.account_id,
            namespace_id=None,
            cause=RestrictionCause.PAYMENT,
        )

    async def _restrict(self, session: AsyncSession, invoice: Invoice) -> None:
        """No starts, and why: what is told of is always an invoice that is not paid."""
        await self._control.restrictions.restrict_starts(
            session,
            account_id=invoice.account_id,
            namespace_id=None,
            cause=RestrictionCause.PAYMENT,
            at=self._now(),
            why=f"invoice {_number(invoice)} is not paid; put a working card on file on the"
            " page Billing",
        )

    def _text(self, invoice: Invoice, *, is_last: bool) -> str:
        amount = f"${amount_of(invoice.total_cents):,.2f}"
        outcome = (
            "New workflows cannot start until it is paid. What runs goes on."
            if is_last
            else f"Nothing changes for now. {REMINDER_DAYS[-1]} days after the first failed"
            " payment, new workflows cannot start; what runs goes on."
        )
        return (
            f"The payment of {amount} for {month_title(invoice.from_hour)}"
            f" (invoice {_number(invoice)}, account {invoice.account_id}) failed.\n\n"
            f"{outcome}\n\n"
            f"Put a working card on file, and it is tried again at once:\n"
            f"{self._console_address}/billing\n"
        )


def _number(invoice: Invoice) -> str:
    assert invoice.number is not None, "what was sent has a number"
    return invoice_number(invoice.number)


async def _readers(session: AsyncSession, account_id: str) -> list[str]:
    found = await session.scalars(
        sa.select(User.email)
        .where(User.account_id == account_id, User.role.in_(READERS))
        .order_by(User.email)
    )
    return list(found)
