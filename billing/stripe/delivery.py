"""Delivery of our invoices: the same lines as items of an invoice at Stripe, which then collects.

Each object there is made of one business fact (`invoice:<id>`, `line:<id>:<position>`) and once.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from billing.errors import DeliveryDiffers
from billing.invoices.text import invoice_number
from billing.stripe.connection import Connection
from billing.stripe.customers import Customers
from billing.stripe.follow import Follower
from billing.stripe.once import made_once, metadata_of, object_of
from billing.tables import Invoice, InvoiceLine, InvoiceState
from billing.times import hour_start, month_of
from tenancy import Database
from tenancy.randomness import Now

CURRENCY = "usd"
INVOICE = "perdure_invoice"
LINE = "perdure_line"
"""Keys in the metadata of what we make."""

DRAFT = "draft"
OBJECTS_PER_PAGE = 100


@dataclass(frozen=True, slots=True)
class _Draft:
    invoice: Invoice
    lines: list[InvoiceLine]
    customer_id: str


class Delivery:
    """Nothing happens for an invoice of 0, or one that is sent already."""

    def __init__(
        self,
        database: Database,
        connection: Connection,
        customers: Customers,
        follower: Follower,
        *,
        now: Now,
    ) -> None:
        self._database = database
        self._connection = connection
        self._customers = customers
        self._follower = follower
        self._now = now

    async def create_items(self, invoice_id: str) -> None:
        """Raises PaymentsUnavailable and PaymentsRefused."""
        found = await self._due(invoice_id)
        if found is None:
            return
        customer_id = await self._customers.ensure(found.account_id)
        async with self._database.reading() as session:
            lines = await session.scalars(
                sa.select(InvoiceLine)
                .where(InvoiceLine.invoice_id == invoice_id, InvoiceLine.amount_cents != 0)
                .order_by(InvoiceLine.position)
            )
            draft = _Draft(found, list(lines), customer_id)
        object_id = await self._invoice(draft)
        for line in draft.lines:
            await self._item(draft, line, object_id)

    async def send(self, invoice_id: str) -> None:
        """Raises DeliveryDiffers, PaymentsUnavailable and PaymentsRefused."""
        found = await self._due(invoice_id)
        if found is None:
            return
        key = self._key("invoice", invoice_id)
        async with self._database.reading() as session:
            object_id = await object_of(session, key)
        assert object_id is not None, "items come before sending"
        async with self._connection.calling() as client:
            there = await client.v1.invoices.retrieve_async(object_id)
            if there.status == DRAFT:
                if there.subtotal != found.total_cents:
                    raise DeliveryDiffers(invoice_id, found.total_cents, there.subtotal)
                await client.v1.invoices.finalize_invoice_async(
                    object_id,
                    {"auto_advance": True},
                    {"idempotency_key": self._key("finalize", invoice_id)},
                )
        await self._follower.follow_invoice(object_id)

    async def _due(self, invoice_id: str) -> Invoice | None:
        async with self._database.reading() as session:
            invoice = await session.get_one(Invoice, invoice_id)
        is_due = invoice.state is InvoiceState.FINALIZED and invoice.total_cents
        return invoice if is_due else None

    async def _invoice(self, draft: _Draft) -> str:
        invoice = draft.invoice
        assert invoice.number is not None, "a finalized invoice has a number"
        number = invoice_number(invoice.number)

        async def create(key: str) -> str:
            async with self._connection.calling() as client:
                made = await client.v1.invoices.create_async(
                    {
                        "customer": draft.customer_id,
                        "currency": CURRENCY,
                        "number": number,
                        "collection_method": "charge_automatically",
                        "auto_advance": False,
                        "pending_invoice_items_behavior": "exclude",
                        "metadata": {INVOICE: invoice.id},
                    },
                    {"idempotency_key": key},
                )
            return made.id

        async def find() -> str | None:
            async with self._connection.calling() as client:
                page = await client.v1.invoices.list_async(
                    {"customer": draft.customer_id, "limit": OBJECTS_PER_PAGE}
                )
                async for there in page.auto_paging_iter():
                    if metadata_of(there, INVOICE) == invoice.id:
                        return there.id
            return None

        key = self._key("invoice", invoice.id)
        return await made_once(self._database, key, self._now, create=create, find=find)

    async def _item(self, draft: _Draft, line: InvoiceLine, object_id: str) -> str:
        name = f"{line.invoice_id}:{line.position}"
        period = month_of(line.from_hour)

        async def create(key: str) -> str:
            async with self._connection.calling() as client:
                made = await client.v1.invoice_items.create_async(
                    {
                        "customer": draft.customer_id,
                        "invoice": object_id,
                        "currency": CURRENCY,
                        "amount": line.amount_cents,
                        "description": line.text,
                        "period": {
                            "start": int(hour_start(period.from_hour).timestamp()),
                            "end": int(hour_start(period.to_hour).timestamp()),
                        },
                        "metadata": {LINE: name},
                    },
                    {"idempotency_key": key},
                )
            return made.id

        async def find() -> str | None:
            async with self._connection.calling() as client:
                page = await client.v1.invoice_items.list_async(
                    {"invoice": object_id, "limit": OBJECTS_PER_PAGE}
                )
                async for there in page.auto_paging_iter():
                    if metadata_of(there, LINE) == name:
                        return there.id
            return None

        key = self._key("line", name)
        return await made_once(self._database, key, self._now, create=create, find=find)

    def _key(self, kind: str, name: str) -> str:
        return f"{self._connection.service}:{kind}:{name}"
