"""An account as a customer: made once, with pages of Stripe's on which its card is kept."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from billing.stripe.connection import Connection
from billing.stripe.once import made_once
from billing.tables import Payer
from tenancy import Account, AccountRole, ControlPlane, Database, Principal, User
from tenancy.accounts import locked_account
from tenancy.dialects import insert
from tenancy.randomness import Now

ACCOUNT = "perdure_account"
"""The key of our account's id in the metadata of a customer."""


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom Stripe writes receipts to."""

    email: str
    name: str


async def payer_of(session: AsyncSession, account_id: str, service: str) -> Payer | None:
    """The account's customer at this service. That of another service is as none."""
    payer = await session.get(Payer, account_id)
    return payer if payer is not None and payer.service == service else None


class Customers:
    def __init__(
        self, control: ControlPlane, database: Database, connection: Connection, *, now: Now
    ) -> None:
        self._control = control
        self._database = database
        self._connection = connection
        self._now = now

    async def ensure(self, account_id: str) -> str:
        """The id of the account's customer. Raises PaymentsUnavailable and PaymentsRefused."""
        service = self._connection.service
        async with self._database.reading() as session:
            known = await payer_of(session, account_id, service)
            contact = await _contact(session, account_id)
        if known is not None:
            return known.customer_id

        async def create(key: str) -> str:
            # What may change until the next try is left out: a key goes with one set of fields.
            async with self._connection.calling() as client:
                made = await client.v1.customers.create_async(
                    {"metadata": {ACCOUNT: account_id}}, {"idempotency_key": key}
                )
            return made.id

        async def find() -> str | None:
            query = f"metadata['{ACCOUNT}']:'{account_id}'"
            async with self._connection.calling() as client:
                found = await client.v1.customers.search_async({"query": query, "limit": 1})
            return found.data[0].id if found.data else None

        key = f"{service}:customer:{account_id}"
        customer_id = await made_once(self._database, key, self._now, create=create, find=find)
        async with self._connection.calling() as client:
            await client.v1.customers.update_async(
                customer_id, {"email": contact.email, "name": contact.name}
            )
        await self._keep(account_id, customer_id)
        return customer_id

    async def open_checkout(self, actor: Principal, *, success: str, cancel: str) -> str:
        """The address of a page that takes a card; it leads back to one of the two."""
        customer_id = await self.ensure(actor.account_id)
        async with self._connection.calling() as client:
            opened = await client.v1.checkout.sessions.create_async(
                {
                    "mode": "setup",
                    "customer": customer_id,
                    "allowed_payment_method_types": ["card"],
                    "success_url": success,
                    "cancel_url": cancel,
                }
            )
        await self._note(actor, "billing.open_checkout")
        assert opened.url is not None, "a hosted page has an address"
        return opened.url

    async def open_portal(self, actor: Principal, *, back: str) -> str:
        """The address of a page on which cards are changed and invoices read."""
        customer_id = await self.ensure(actor.account_id)
        async with self._connection.calling() as client:
            opened = await client.v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": back}
            )
        await self._note(actor, "billing.open_portal")
        return opened.url

    async def _keep(self, account_id: str, customer_id: str) -> None:
        values = {
            "service": self._connection.service,
            "customer_id": customer_id,
            "card_brand": "",
            "card_last4": "",
            "card_expires": "",
            "updated_at": self._now(),
        }
        async with self._database.transaction() as session:
            await locked_account(session, account_id)
            if await payer_of(session, account_id, self._connection.service) is not None:
                return
            await session.execute(
                insert(session, Payer)
                .values(account_id=account_id, **values)
                .on_conflict_do_update(index_elements=["account_id"], set_=values)
            )

    async def _note(self, actor: Principal, action: str) -> None:
        async with self._control.acting(actor) as session:
            await self._control.audit.record(session, actor, action, actor.account_id)


async def _contact(session: AsyncSession, account_id: str) -> Contact:
    account = await session.get_one(Account, account_id)
    email = await session.scalar(
        sa.select(User.email)
        .where(User.account_id == account_id, User.role == AccountRole.OWNER)
        .order_by(User.created_at)
        .limit(1)
    )
    return Contact(email or "", account.name or account.id)
