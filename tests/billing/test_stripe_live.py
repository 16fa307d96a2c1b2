"""The same steps against Stripe itself, in its test mode: `pytest -m stripe_live`.

It needs PERDURE_STRIPE_TEST_KEY, a key of a test account that may be written to, and the network.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from billing.stripe import Connection, StripeSettings
from billing.tables import InvoiceState
from tenancy import Passwords
from tests.billing.payments import MONTH, Payments, after, open_payments

KEY = os.environ.get("PERDURE_STRIPE_TEST_KEY", "")
GOOD, DECLINED_LATER = "pm_card_visa", "pm_card_chargeCustomerFail"

pytestmark = [
    pytest.mark.stripe_live,
    pytest.mark.skipif(not KEY, reason="PERDURE_STRIPE_TEST_KEY is not set"),
    pytest.mark.parametrize("control_url", ["sqlite"], indirect=True),
]


@pytest.fixture
async def live(control_url: str, tmp_path: Path, passwords: Passwords) -> AsyncIterator[Payments]:
    """The real service in place of the stand-in. The clock stays the test's own."""
    assert "_test_" in KEY, "never with a key that moves money"
    async with open_payments(control_url, tmp_path, passwords) as payments:
        made = Payments(payments.cloud, payments.stand_in, payments.wire, payments.database)
        made.connect(Connection(StripeSettings(KEY, ())))
        yield made
        await made.connection.aclose()


async def with_card(live: Payments, method: str) -> str:
    """An account whose customer has a card of Stripe's for tests."""
    owner = await live.cloud.owner()
    customer_id = await live.customers.ensure(owner.account_id)
    client = (await live.connection.opened()).client
    attached = await client.v1.payment_methods.attach_async(method, {"customer": customer_id})
    await client.v1.customers.update_async(
        customer_id, {"invoice_settings": {"default_payment_method": attached.id}}
    )
    await live.follower.follow_card(customer_id)
    await live.use(owner.account_id, 1_000_000)
    live.cloud.clock.at = after(MONTH)
    return owner.account_id


async def test_an_invoice_is_delivered_once_and_paid(live: Payments) -> None:
    account_id = await with_card(live, GOOD)
    invoice_id = await live.closing.snapshot(account_id, MONTH)
    await live.closing.finalize(invoice_id)
    for _ in range(2):
        await live.closing.create_items(invoice_id)
    await live.closing.send(invoice_id)
    await collect(live)
    (invoice,) = await live.invoices(account_id)
    assert invoice.state is InvoiceState.PAID


async def test_a_card_that_is_declined_leaves_the_invoice_failed(live: Payments) -> None:
    account_id = await with_card(live, DECLINED_LATER)
    await live.closing.close_account(account_id, MONTH)
    await collect(live)
    (invoice,) = await live.invoices(account_id)
    assert invoice.state is InvoiceState.FAILED


async def test_the_hosted_pages_have_addresses_at_stripe(live: Payments) -> None:
    owner = await live.cloud.owner()
    back = "https://example.com/billing"
    address = await live.customers.open_checkout(owner, success=back, cancel=back)
    assert address.startswith("https://checkout.stripe.com/")


async def collect(live: Payments) -> None:
    """Stripe collects within the hour by itself; a test asks for it now."""
    opened = await live.connection.opened()
    (customer_id,) = await live.customer_ids()
    page = await opened.client.v1.invoices.list_async({"customer": customer_id, "limit": 1})
    (there,) = page.data
    if there.status == "open":
        try:
            await opened.client.v1.invoices.pay_async(there.id)
        except opened.declined:
            pass
    await live.follower.follow_invoice(there.id)
