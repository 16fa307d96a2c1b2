"""A month becomes invoices: rated once, numbered without gaps, what comes late on the next one."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from billing.closing import GRACE_HOURS
from billing.errors import DeliveryDiffers, PeriodOpen
from billing.tables import InvoiceState, Model, UsageCursor
from billing.times import hour_start, month_named
from billing.usage import Collector
from tenancy.dialects import open_migration_engine
from tests.billing.conftest import Cell, account_of
from tests.billing.payments import CELL, MONTH, Payments, after

MILLION = 1_000_000


async def test_a_month_is_rated_once_and_kept(payments: Payments) -> None:
    owner = await payments.cloud.owner()
    await payments.use(owner.account_id, 2 * MILLION)
    payments.cloud.clock.at = after(MONTH)
    closing = payments.closing
    invoice_id = await closing.snapshot(owner.account_id, MONTH)
    await payments.use(owner.account_id, MILLION)
    assert await closing.snapshot(owner.account_id, MONTH) == invoice_id
    (invoice,) = await payments.invoices(owner.account_id)
    assert (invoice.state, invoice.number, invoice.total_cents) == (InvoiceState.DRAFT, None, 11000)
    lines = await payments.lines(invoice_id)
    assert [
        (line.text, line.quantity, line.per_million_cents, line.amount_cents) for line in lines
    ] == [
        ("Actions", 2 * MILLION, 5000, 10000),
        ("Developer plan", None, None, 1000),
    ]


async def test_a_month_is_closed_only_when_each_cell_was_read_behind_its_grace(
    payments: Payments,
) -> None:
    end = month_named(MONTH).to_hour
    cells = [Cell("cell-a"), Cell("cell-b")]
    names = [cell.cell_id for cell in cells]
    one, other = (Collector(payments.database, cell, account_of) for cell in cells)
    is_complete = payments.closing.is_complete
    assert not await is_complete(MONTH, names)
    await one.run(hour_start(end + GRACE_HOURS))
    assert await is_complete(MONTH, names[:1])
    await other.run(hour_start(end + GRACE_HOURS) - timedelta(seconds=1))
    assert not await is_complete(MONTH, names)
    await other.run(hour_start(end + GRACE_HOURS))
    assert await is_complete(MONTH, names)
    assert not await is_complete("2026-04", names)


async def test_a_month_that_is_not_over_is_not_rated(payments: Payments) -> None:
    owner = await payments.cloud.owner()
    payments.cloud.clock.at = after(MONTH) - timedelta(seconds=1)
    with pytest.raises(PeriodOpen):
        await payments.closing.snapshot(owner.account_id, MONTH)
    with pytest.raises(PeriodOpen):
        await payments.closing.close(MONTH, [CELL])


async def test_numbers_have_no_gaps_whoever_takes_them_at_once(payments: Payments) -> None:
    owners = [await payments.cloud.owner(f"{name}@example.com") for name in ("a", "b", "c", "d")]
    payments.cloud.clock.at = after(MONTH)
    closing = payments.closing
    ids = [await closing.snapshot(owner.account_id, MONTH) for owner in owners]
    numbers = await asyncio.gather(*(closing.finalize(id) for id in ids * 2))
    assert sorted(numbers) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert numbers[:4] == numbers[4:]


async def test_what_is_counted_late_is_a_line_of_the_next_invoice(payments: Payments) -> None:
    owner = await payments.cloud.owner()
    await payments.use(owner.account_id, 100)
    payments.cloud.clock.at = after(MONTH)
    await payments.closing.close_account(owner.account_id, MONTH)
    await payments.use(owner.account_id, MILLION)
    await payments.use(owner.account_id, MILLION, month="2026-04")
    payments.cloud.clock.at = after("2026-04")
    april = await payments.closing.snapshot(owner.account_id, "2026-04")
    lines = await payments.lines(april)
    assert [(line.text, line.quantity, line.amount_cents) for line in lines] == [
        ("Actions", MILLION, 5000),
        ("Developer plan", None, 500),
        # 100 Actions were $0.01 on the first invoice; 1 000 100 are $50.01 and their fee $5.00.
        ("Actions of March 2026, counted after its invoice", MILLION, 5500),
    ]
    # It is on one invoice, and what comes later still on the one behind.
    await payments.use(owner.account_id, 2 * MILLION)
    payments.cloud.clock.at = after("2026-05")
    may = await payments.closing.snapshot(owner.account_id, "2026-05")
    assert [(line.quantity, line.amount_cents) for line in await payments.lines(may)] == [
        (None, 0),
        (2 * MILLION, 11000),
    ]


async def test_an_invoice_of_nothing_is_made_and_not_sent(payments: Payments) -> None:
    owner = await payments.cloud.owner()
    payments.cloud.clock.at = after(MONTH)
    await payments.closing.close_account(owner.account_id, MONTH)
    (invoice,) = await payments.invoices(owner.account_id)
    assert (invoice.state, invoice.number) == (InvoiceState.FINALIZED, 1)
    assert payments.stand_in.store.all("customer") == []


async def test_accounts_made_after_the_month_have_no_invoice_of_it(payments: Payments) -> None:
    first = await payments.cloud.owner()
    payments.cloud.clock.at = after(MONTH)
    later = await payments.cloud.owner("later@example.com")
    assert await payments.closing.accounts(MONTH) == [first.account_id]
    assert await payments.closing.accounts("2026-04") == sorted(
        [first.account_id, later.account_id]
    )
    assert await payments.closing.accounts(MONTH, first.account_id) == []


async def test_a_closed_month_is_paid_by_the_card_on_file(payments: Payments) -> None:
    owner = await payments.owner_with_card()
    await payments.use(owner.account_id, 1_000_000)
    payments.cloud.clock.at = after(MONTH)
    await Collector(payments.database, Cell(CELL), account_of).run(payments.cloud.clock.at)
    for _ in range(2):
        await payments.closing.close(MONTH, [CELL])
    (invoice,) = await payments.invoices(owner.account_id)
    assert (invoice.state, invoice.total_cents) == (InvoiceState.PAID, 5500)
    (there,) = payments.stand_in.store.all("invoice")
    assert (there["status"], there["number"], there["amount_paid"]) == ("paid", "INV-000001", 5500)
    items = payments.stand_in.store.all("invoiceitem")
    assert sorted(item["amount"] for item in items) == [500, 5000]
    await payments.hear()
    async with payments.database.reading() as session:
        await payments.cloud.control.audit.verify_chain(session, owner.account_id)
        assert await session.scalar(sa.select(sa.func.count()).select_from(UsageCursor)) == 1


async def test_an_invoice_whose_sum_differs_at_stripe_is_not_sent(payments: Payments) -> None:
    owner = await payments.owner_with_card()
    await payments.use(owner.account_id, MILLION)
    payments.cloud.clock.at = after(MONTH)
    closing = payments.closing
    invoice_id = await closing.snapshot(owner.account_id, MONTH)
    await closing.finalize(invoice_id)
    await closing.create_items(invoice_id)
    (there,) = payments.stand_in.store.all("invoice")
    payments.stand_in.store.keep(there | {"subtotal": 5_501})
    with pytest.raises(DeliveryDiffers):
        await closing.send(invoice_id)
    (invoice,) = await payments.invoices(owner.account_id)
    assert invoice.state is InvoiceState.FINALIZED
    assert payments.stand_in.store.all("invoice")[0]["status"] == "draft"


async def test_the_tables_are_those_of_the_migrations(control_url: str) -> None:
    engine = open_migration_engine(control_url)
    with engine.connect() as connection:
        differences = compare_metadata(
            MigrationContext.configure(
                connection,
                opts={
                    "include_object": lambda thing, name, kind, *_: (
                        kind != "table" or name in Model.metadata.tables
                    )
                },
            ),
            Model.metadata,
        )
    engine.dispose()
    assert differences == []
