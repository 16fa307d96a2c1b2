"""What follows a failed payment, day by day: letters, then no new starts, until it is made."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from billing.invoices.reminders import KIND, REMINDER_DAYS
from billing.tables import Invoice, InvoiceState
from tenancy import AccountRole, NamespaceRef, Principal, RestrictionCause
from tenancy.mail import Letter
from tenancy.mail.outbox import PostedLetter
from tests.billing.payments import MONTH, Payments, after

DECLINED_LATER = "4000000000000341"
OWNER = "ada@example.com"


async def letters(payments: Payments) -> list[Letter]:
    """All about a failed payment, the oldest first."""
    async with payments.database.reading() as session:
        found = await session.scalars(
            sa.select(PostedLetter)
            .where(PostedLetter.kind == KIND)
            .order_by(PostedLetter.created_at, PostedLetter.recipient)
        )
        return [payments.cloud.control.outbox.opened(each) for each in found]


async def is_stopped(payments: Payments, ref: NamespaceRef) -> str | None:
    """Why starts are refused at the door, if they are."""
    await payments.cloud.control.snapshot.refresh()
    found = payments.cloud.control.snapshot.restriction(ref)
    if found is None:
        return None
    assert found.cause is RestrictionCause.PAYMENT
    return found.why


async def failed(payments: Payments, month: str = MONTH) -> tuple[Principal, NamespaceRef]:
    """An owner whose card was declined when the month was charged, and a namespace of theirs."""
    owner = await payments.owner_with_card(DECLINED_LATER)
    ref = await payments.cloud.namespace(owner)
    await charge(payments, owner, month)
    return owner, ref


async def charge(payments: Payments, owner: Principal, month: str) -> Invoice:
    await payments.use(owner.account_id, 1_000_000, month=month)
    payments.cloud.clock.at = after(month)
    await payments.closing.close_account(owner.account_id, month)
    return (await payments.invoices(owner.account_id))[-1]


async def wait_until(payments: Payments, at: datetime) -> None:
    """A few looks until then, as the upkeep takes one each hour."""
    while payments.cloud.clock.at < at:
        payments.cloud.clock.at = min(at, payments.cloud.clock.at + timedelta(hours=37))
        await payments.reminders.write()


async def test_letters_come_on_their_days_and_the_last_one_stops_starts(payments: Payments) -> None:
    _, ref = await failed(payments)
    failed_at = payments.cloud.clock.at
    assert REMINDER_DAYS == (0, 3, 7, 14)
    for count, days in enumerate(REMINDER_DAYS[1:], start=1):
        await wait_until(payments, failed_at + timedelta(days=days, seconds=-1))
        assert len(await letters(payments)) == count
        assert await is_stopped(payments, ref) is None
        await wait_until(payments, failed_at + timedelta(days=days))
        assert len(await letters(payments)) == count + 1
    why = await is_stopped(payments, ref)
    assert why == "invoice INV-000001 is not paid; put a working card on file on the page Billing"
    await wait_until(payments, failed_at + timedelta(days=400))
    assert len(await letters(payments)) == len(REMINDER_DAYS)


async def test_a_letter_says_what_is_owed_what_follows_and_the_remedy(payments: Payments) -> None:
    owner, _ = await failed(payments)
    await wait_until(payments, payments.cloud.clock.at + timedelta(days=14))
    first, *others, last = await letters(payments)
    for letter in (first, *others, last):
        assert (letter.to, letter.subject) == (OWNER, "Payment of invoice INV-000001 failed")
        assert f"$55.00 for March 2026 (invoice INV-000001, account {owner.account_id})" in (
            letter.text
        )
        assert "https://cloud.test/billing\n" in letter.text
        assert "goes on" in letter.text
    for letter in (first, *others):
        assert "Nothing changes for now. 14 days after" in letter.text
    assert "New workflows cannot start until it is paid." in last.text


async def test_owners_and_who_sees_to_money_are_written_to(payments: Payments) -> None:
    owner = await payments.owner_with_card(DECLINED_LATER)
    await payments.cloud.owner("stranger@example.com")
    for role in AccountRole:
        await payments.cloud.member(owner, role)
    await charge(payments, owner, MONTH)
    roles = {letter.to.partition("-")[0] for letter in await letters(payments)}
    assert roles == {OWNER, AccountRole.OWNER, AccountRole.FINANCE_ADMIN}


async def test_letters_that_were_missed_while_nothing_ran_are_one(payments: Payments) -> None:
    _, ref = await failed(payments)
    payments.cloud.clock.move(days=10)
    await payments.reminders.write()
    assert len(await letters(payments)) == 2
    assert await is_stopped(payments, ref) is None
    payments.cloud.clock.move(days=10)
    for _ in range(2):
        await payments.reminders.write()
    assert len(await letters(payments)) == 3
    assert await is_stopped(payments, ref) is not None


async def test_an_invoice_that_is_paid_frees_starts_at_once(payments: Payments) -> None:
    """From the declined card to the good one, with no more than what people and Stripe do."""
    owner, ref = await failed(payments)
    await payments.hear()
    await wait_until(payments, payments.cloud.clock.at + timedelta(days=14))
    assert await is_stopped(payments, ref) is not None
    await payments.put_card(owner)
    (invoice,) = await payments.invoices(owner.account_id)
    assert (invoice.state, invoice.failed_at) == (InvoiceState.PAID, None)
    assert await is_stopped(payments, ref) is None
    payments.cloud.clock.move(days=30)
    await payments.reminders.write()
    assert len(await letters(payments)) == len(REMINDER_DAYS)
    await payments.cloud.audit_count(owner.account_id)


@pytest.mark.parametrize("days", [3, 14])
async def test_an_invoice_that_was_paid_or_void_is_reminded_of_no_more(
    payments: Payments, days: int
) -> None:
    owner, ref = await failed(payments)
    (there,) = payments.stand_in.store.all("invoice")
    await wait_until(payments, payments.cloud.clock.at + timedelta(days=days))
    written = len(await letters(payments))
    with payments.stand_in.store.transaction():
        payments.stand_in.invoices.void({}, there["id"])
    await payments.hear()
    (invoice,) = await payments.invoices(owner.account_id)
    assert invoice.state is InvoiceState.VOID
    assert await is_stopped(payments, ref) is None
    await wait_until(payments, payments.cloud.clock.at + timedelta(days=30))
    assert len(await letters(payments)) == written


async def test_another_card_that_is_declined_starts_no_second_series(payments: Payments) -> None:
    owner, ref = await failed(payments)
    failed_at = payments.cloud.clock.at
    await payments.hear()
    await wait_until(payments, failed_at + timedelta(days=5))
    await payments.put_card(owner, DECLINED_LATER)
    (there,) = payments.stand_in.store.all("invoice")
    assert there["attempt_count"] == 2
    (invoice,) = await payments.invoices(owner.account_id)
    assert (invoice.state, invoice.failed_at) == (InvoiceState.FAILED, failed_at)
    await wait_until(payments, failed_at + timedelta(days=14, seconds=-1))
    assert await is_stopped(payments, ref) is None
    await wait_until(payments, failed_at + timedelta(days=14))
    assert await is_stopped(payments, ref) is not None
    assert len(await letters(payments)) == len(REMINDER_DAYS)


@pytest.mark.parametrize("first", [0, 1])
async def test_starts_are_free_again_when_the_last_late_invoice_is_paid(
    payments: Payments, first: int
) -> None:
    """What the refusal names is always an invoice that is not paid."""
    owner, ref = await failed(payments)
    await charge(payments, owner, "2026-04")
    await wait_until(payments, payments.cloud.clock.at + timedelta(days=14))
    march, april = (each["id"] for each in reversed(payments.stand_in.store.all("invoice")))
    assert await is_stopped(payments, ref) is not None
    customer = payments.stand_in.store.all("customer")[0]["id"]
    pays = payments.stand_in.invoices.pay
    with payments.stand_in.store.transaction():
        card = payments.stand_in.customers.attach_card(customer, "4242424242424242", 2031, 1)
        settings = {"default_payment_method": card["id"]}
        payments.stand_in.customers.update({"invoice_settings": settings}, customer)
        pays({}, (march, april)[first])
    await payments.hear()
    why = await is_stopped(payments, ref)
    assert why is not None
    assert why.startswith(("invoice INV-000002 is", "invoice INV-000001 is")[first])
    with payments.stand_in.store.transaction():
        pays({}, (april, march)[first])
    await payments.hear()
    assert await is_stopped(payments, ref) is None


async def test_one_account_that_does_not_pay_stops_no_other(payments: Payments) -> None:
    _, ref = await failed(payments)
    other = await payments.cloud.owner("other@example.com")
    theirs = await payments.cloud.namespace(other)
    await wait_until(payments, payments.cloud.clock.at + timedelta(days=14))
    assert await is_stopped(payments, ref) is not None
    assert await is_stopped(payments, theirs) is None
