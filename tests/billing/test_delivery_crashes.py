"""A process that dies at any step of an invoice's way: nothing is lost and nothing doubled."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from billing.tables import InvoiceState
from tenancy import Database
from tests.billing.payments import MONTH, Payments, after

WAITS_HOURS = {"at once": 0, "after Stripe forgot the keys": 25}
SAMPLE_STRIDE = 7
STEPS_MIN = 40
"""Fewer steps than this would mean that the test has lost sight of some."""


class Crash(BaseException):
    """The process ends here."""


class Steps:
    """Counts the moments at which a process may die, and lets it die at one of them."""

    def __init__(self) -> None:
        self.deadly = 0
        self._seen = 0

    def arm(self, number: int) -> None:
        self.deadly, self._seen = number, 0

    @property
    def seen(self) -> int:
        return self._seen

    def step(self) -> None:
        self._seen += 1
        if self._seen == self.deadly:
            raise Crash


class CrashingDatabase(Database):
    """Dies before or after a commit."""

    def __init__(self, url: str, steps: Steps) -> None:
        super().__init__(url)
        self._steps = steps

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        async with super().transaction() as session:
            yield session
            self._steps.step()
        self._steps.step()


class CrashingWire(httpx.AsyncBaseTransport):
    """Dies before a request has left, or when it was answered and nobody heard it."""

    def __init__(self, wire: httpx.AsyncBaseTransport, steps: Steps) -> None:
        self._wire = wire
        self._steps = steps

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._steps.step()
        answer = await self._wire.handle_async_request(request)
        await answer.aread()
        self._steps.step()
        return answer


@pytest.mark.parametrize(
    ("wait", "stride"),
    [
        ("after Stripe forgot the keys", SAMPLE_STRIDE),
        pytest.param("at once", 1, marks=pytest.mark.deep),
        pytest.param("after Stripe forgot the keys", 1, marks=pytest.mark.deep),
    ],
)
@pytest.mark.parametrize("control_url", ["sqlite"], indirect=True)
async def test_an_invoice_is_sent_once_wherever_the_process_dies(
    payments: Payments, wait: str, stride: int
) -> None:
    """One account for each step, which dies there and is done again by the next process."""
    steps = Steps()
    database = CrashingDatabase(payments.cloud.url, steps)
    wire = CrashingWire(payments.wire, steps)
    dying = Payments(payments.cloud, payments.stand_in, wire, database)
    payments.cloud.clock.at = after(MONTH)
    for number in itertools.count(1):
        account_id = await payments.account()
        await payments.use(account_id, 3_000_000, namespace_id=f"orders-{number}")
        steps.arm(number * stride)
        try:
            await dying.closing.close_account(account_id, MONTH)
            is_through = True
        except Crash:
            is_through = False
        steps.arm(0)
        payments.cloud.clock.move(hours=WAITS_HOURS[wait])
        invoice_id = await payments.closing.close_account(account_id, MONTH)
        await payments.hear()
        await check(payments, account_id, invoice_id, number)
        if is_through:
            break
    await dying.connection.aclose()
    await database.aclose()
    assert number * stride > STEPS_MIN


async def check(payments: Payments, account_id: str, invoice_id: str, number: int) -> None:
    """One customer, one invoice, each line once; no card yet, so that the payment failed."""
    (invoice,) = await payments.invoices(account_id)
    assert (invoice.id, invoice.number) == (invoice_id, number)
    assert invoice.state is InvoiceState.FAILED
    assert invoice.total_cents == 16_500
    store = payments.stand_in.store
    (customer,) = [
        each for each in store.all("customer") if each["metadata"]["perdure_account"] == account_id
    ]
    (there,) = [each for each in store.all("invoice") if each["customer"] == customer["id"]]
    assert (there["status"], there["total"], there["attempt_count"]) == ("open", 16_500, 1)
    items = [each for each in store.all("invoiceitem") if each["invoice"] == there["id"]]
    assert sorted(each["amount"] for each in items) == [1_500, 15_000]
