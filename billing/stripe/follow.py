"""Following Stripe: what it has now becomes what we know. It is asked; an event is only a hint."""

from __future__ import annotations

import logging

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from billing.errors import PaymentsRefused
from billing.invoices.reminders import Reminders
from billing.invoices.states import advance, can_become
from billing.stripe.connection import Connection
from billing.stripe.once import key_of, object_of
from billing.tables import Invoice, InvoiceState, Payer
from tenancy import ControlPlane, Database, system_principal
from tenancy.accounts import locked_account
from tenancy.randomness import Now

SYSTEM = "stripe"
OPEN = "open"
ENDS = {"paid": InvoiceState.PAID, "void": InvoiceState.VOID}

logger = logging.getLogger(__name__)


class Follower:
    """Each of its acts may be repeated, in any order. They raise PaymentsUnavailable and
    PaymentsRefused.
    """

    def __init__(
        self,
        control: ControlPlane,
        database: Database,
        connection: Connection,
        reminders: Reminders,
        *,
        now: Now,
    ) -> None:
        self._control = control
        self._database = database
        self._connection = connection
        self._reminders = reminders
        self._now = now

    async def follow_invoice(self, object_id: str) -> None:
        """The state of one of our invoices; of a foreign one, nothing."""
        prefix = f"{self._connection.service}:invoice:"
        async with self._database.reading() as session:
            key = await key_of(session, object_id)
            if key is None or not key.startswith(prefix):
                return
            invoice = await session.get_one(Invoice, key.removeprefix(prefix))
        async with self._connection.calling() as client:
            there = await client.v1.invoices.retrieve_async(object_id)
        if there.status is None or there.status == "draft":
            return
        async with self._database.transaction() as session:
            await locked_account(session, invoice.account_id)
            invoice = await session.get_one(Invoice, invoice.id, populate_existing=True)
            # Whatever came of it, it was sent; our own mark may have been lost with a process.
            await self._advance(session, invoice, InvoiceState.SENT)
            if there.status == OPEN and there.attempted:
                await self._advance(session, invoice, InvoiceState.FAILED)
            elif there.status in ENDS:
                await self._advance(session, invoice, ENDS[there.status])

    async def follow_open(self) -> None:
        """All that is sent and not ended, in case that an event was lost. Raises
        PaymentsUnavailable.
        """
        async with self._database.reading() as session:
            found = await session.scalars(
                sa.select(Invoice.id).where(
                    Invoice.state.in_((InvoiceState.SENT, InvoiceState.FAILED))
                )
            )
            keys = [f"{self._connection.service}:invoice:{id}" for id in found]
            object_ids = [await object_of(session, key) for key in keys]
        for object_id in filter(None, object_ids):
            try:
                await self.follow_invoice(object_id)
            except PaymentsRefused as error:
                # One that is gone there keeps no other from being followed.
                logger.warning(
                    "invoice_not_followed", extra={"object_id": object_id, "error": error.code}
                )

    async def _advance(self, session: AsyncSession, invoice: Invoice, state: InvoiceState) -> None:
        if not can_become(invoice, state):
            return
        advance(invoice, state, self._now())
        actor = system_principal(invoice.account_id, SYSTEM)
        await self._control.audit.record(session, actor, f"invoice.{state}", invoice.id)
        if state is InvoiceState.FAILED:
            await self._reminders.write_due(session, invoice)
        elif state in ENDS.values():
            await self._reminders.end(session, invoice)

    async def follow_card(self, customer_id: str) -> None:
        """The card that the customer is charged on."""
        async with self._database.reading() as session:
            payer = await _payer_of(session, customer_id)
        if payer is None:
            return
        async with self._connection.calling() as client:
            customer = await client.v1.customers.retrieve_async(
                customer_id, {"expand": ["invoice_settings.default_payment_method"]}
            )
        settings = customer.to_dict().get("invoice_settings") or {}
        card = (settings.get("default_payment_method") or {}).get("card") or {}
        expires = f"{card['exp_year']}-{card['exp_month']:02}" if card else ""
        told = (card.get("brand", ""), card.get("last4", ""), expires)
        async with self._database.transaction() as session:
            await locked_account(session, payer.account_id)
            payer = await session.get_one(Payer, payer.account_id, populate_existing=True)
            if (payer.card_brand, payer.card_last4, payer.card_expires) == told:
                return
            payer.card_brand, payer.card_last4, payer.card_expires = told
            payer.updated_at = self._now()
            actor = system_principal(payer.account_id, SYSTEM)
            await self._control.audit.record(session, actor, "billing.card", payer.account_id)

    async def take_card(self, checkout_id: str) -> None:
        """What was entered on a page of ours is charged from now on, for what is open too."""
        async with self._connection.calling() as client:
            opened = await client.v1.checkout.sessions.retrieve_async(
                checkout_id, {"expand": ["setup_intent"]}
            )
            told = opened.to_dict()
            customer_id = told.get("customer")
            method_id = (told.get("setup_intent") or {}).get("payment_method")
            if told.get("status") != "complete" or not customer_id or not method_id:
                return
            async with self._database.reading() as session:
                if await _payer_of(session, customer_id) is None:
                    return
            await client.v1.customers.update_async(
                customer_id, {"invoice_settings": {"default_payment_method": method_id}}
            )
        await self.follow_card(customer_id)
        await self._collect_again(customer_id)

    async def _collect_again(self, customer_id: str) -> None:
        async with self._database.reading() as session:
            payer = await _payer_of(session, customer_id)
            assert payer is not None, "a card is taken of a customer of ours"
            failed = await session.scalars(
                sa.select(Invoice.id).where(
                    Invoice.account_id == payer.account_id, Invoice.state == InvoiceState.FAILED
                )
            )
            keys = [f"{self._connection.service}:invoice:{id}" for id in failed]
            object_ids = [await object_of(session, key) for key in keys]
        declined = (await self._connection.opened()).declined
        for object_id in filter(None, object_ids):
            async with self._connection.calling() as client:
                there = await client.v1.invoices.retrieve_async(object_id)
                if there.status == OPEN:
                    try:
                        await client.v1.invoices.pay_async(object_id)
                    except declined:
                        continue
            await self.follow_invoice(object_id)


async def _payer_of(session: AsyncSession, customer_id: str) -> Payer | None:
    return await session.scalar(sa.select(Payer).where(Payer.customer_id == customer_id))
