"""Accounts with usage, their closing, and Stripe's stand-in: everything that can be paid with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import httpx
import sqlalchemy as sa

from billing.closing import GRACE_HOURS, Closing
from billing.invoices.reminders import Reminders
from billing.stand_in import StandIn
from billing.stand_in.events import EventSender
from billing.stripe import Connection, Customers, Delivery, Follower, StripeSettings, Webhooks
from billing.tables import Invoice, InvoiceLine, Payer, ProviderEvent, Usage
from billing.times import hour_of, hour_start, month_named
from tenancy import Database, Passwords, Principal
from tenancy.accounts import create_account
from tests.tenancy.cloud import Cloud, open_cloud

SECRET = "whsec_standin_for_tests"
KEY = "sk_standin_for_tests"
MONTH = "2026-03"
CELL = "cell-a"


class Wire(httpx.AsyncBaseTransport):
    """Stripe, whose calls are counted and which is away while `is_away`."""

    def __init__(self, wire: httpx.AsyncBaseTransport) -> None:
        self._wire = wire
        self.calls = 0
        self.is_away = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("nobody is there")
        self.calls += 1
        return await self._wire.handle_async_request(request)


@dataclass
class Payments:
    """One process of the control plane; `stand_in` outlives it."""

    cloud: Cloud
    stand_in: StandIn
    wire: httpx.AsyncBaseTransport
    database: Database
    connection: Connection = field(init=False)
    secrets: tuple[str, ...] = (SECRET,)

    def __post_init__(self) -> None:
        self.connect(Connection(StripeSettings(KEY, self.secrets), self.wire, retries_max=0))

    def connect(self, connection: Connection) -> None:
        """All services of this process, with this way to Stripe."""
        control, now = self.cloud.control, self.cloud.clock.now
        self.connection = connection
        self.reminders = Reminders(
            control, self.database, now=now, console_address="https://cloud.test"
        )
        self.customers = Customers(control, self.database, self.connection, now=now)
        self.follower = Follower(control, self.database, self.connection, self.reminders, now=now)
        self.delivery = Delivery(
            self.database, self.connection, self.customers, self.follower, now=now
        )
        self.closing = Closing(
            control,
            self.database,
            self.delivery,
            now=now,
            token_bytes=self.cloud.random.randbytes,
        )
        self.webhooks = Webhooks(self.database, self.connection, self.follower, now=now)

    async def use(
        self, account_id: str, count: int, *, month: str = MONTH, namespace_id: str = "orders"
    ) -> None:
        """Usage of the first hour of the month, beside what there is."""
        async with self.cloud.database.transaction() as session:
            key = (namespace_id, month_named(month).from_hour, "start_workflow", "Order", "orders")
            known = await session.get(Usage, key)
            if known is not None:
                known.count += count
                return
            session.add(
                Usage(
                    namespace_id=namespace_id,
                    hour=key[1],
                    action="start_workflow",
                    workflow_type="Order",
                    task_queue="orders",
                    account_id=account_id,
                    count=count,
                )
            )

    async def account(self) -> str:
        """One that nobody signed up for, which is faster."""
        async with self.cloud.database.transaction() as session:
            made = await create_account(
                session,
                created_at=self.cloud.clock.now(),
                token_bytes=self.cloud.random.randbytes,
            )
            return made.id

    async def owner_with_card(self, number: str = "4242424242424242") -> Principal:
        owner = await self.cloud.owner()
        await self.put_card(owner, number)
        return owner

    async def put_card(self, owner: Principal, number: str = "4242424242424242") -> None:
        address = await self.customers.open_checkout(
            owner, success="https://cloud.test/billing", cancel="https://cloud.test/billing"
        )
        with self.stand_in.store.transaction():
            self.stand_in.sessions.complete(address.rpartition("/")[2], number, 2030, 12)
        await self.hear()

    async def hear(self) -> None:
        """Every event that waits, as it would come over the network."""
        sender = EventSender(
            self.stand_in,
            secret=SECRET,
            address="http://cloud.test/events",
            transport=httpx.MockTransport(self._take),
        )
        await sender.send()
        await sender.aclose()

    async def _take(self, request: httpx.Request) -> httpx.Response:
        await self.webhooks.receive(request.content, request.headers["stripe-signature"])
        return httpx.Response(200)

    async def invoices(self, account_id: str) -> Sequence[Invoice]:
        async with self.cloud.database.reading() as session:
            found = await session.scalars(
                sa.select(Invoice)
                .where(Invoice.account_id == account_id)
                .order_by(Invoice.from_hour)
            )
            return found.all()

    async def lines(self, invoice_id: str) -> Sequence[InvoiceLine]:
        async with self.cloud.database.reading() as session:
            found = await session.scalars(
                sa.select(InvoiceLine)
                .where(InvoiceLine.invoice_id == invoice_id)
                .order_by(InvoiceLine.position)
            )
            return found.all()

    async def customer_ids(self) -> Sequence[str]:
        async with self.cloud.database.reading() as session:
            return (await session.scalars(sa.select(Payer.customer_id))).all()

    async def events(self) -> Sequence[ProviderEvent]:
        async with self.cloud.database.reading() as session:
            return (await session.scalars(sa.select(ProviderEvent))).all()


def after(month: str) -> datetime:
    """When the month may be closed."""
    return hour_start(month_named(month).to_hour + GRACE_HOURS)


@asynccontextmanager
async def open_payments(url: str, folder: Path, passwords: Passwords) -> AsyncIterator[Payments]:
    async with open_cloud(url, folder / "snapshot", passwords) as cloud:
        cloud.clock.at = datetime(2026, 3, 1, 12, tzinfo=UTC)
        assert hour_of(cloud.clock.at) > month_named(MONTH).from_hour
        stand_in = StandIn(key=KEY, now=cloud.clock.now, token_bytes=Random(3).randbytes)
        made = Payments(cloud, stand_in, httpx.ASGITransport(app=stand_in), cloud.database)
        yield made
        await made.connection.aclose()
        stand_in.close()
