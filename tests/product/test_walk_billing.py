"""A card is put on file in a real browser, a month is closed beside the running server, and the
invoice is there to read; a killed server forgets none of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from billing.tables import Usage
from billing.times import month_named
from tenancy import Account
from tests.control.visitor import PASSWORD
from tests.product.closing import payments_beside
from tests.product.server import Product
from tests.product.test_console import page  # noqa: F401 - a fixture
from tests.web.browser import chromium

pytestmark = [
    pytest.mark.ci,
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed"),
    pytest.mark.usefixtures("anyio_backend"),
]

MONTH = "2026-01"


async def close_month(product: Product, actions: int) -> None:
    """Closes it for the one account, with so many Actions."""
    async with payments_beside(product.data) as (payments, database):
        async with database.transaction() as session:
            account_id = (await session.scalars(sa.select(Account.id))).one()
            session.add(
                Usage(
                    namespace_id="orders",
                    hour=month_named(MONTH).from_hour,
                    action="start_workflow",
                    workflow_type="Order",
                    task_queue="orders",
                    account_id=account_id,
                    count=actions,
                )
            )
        await payments.closing.close_account(account_id, MONTH)


def apart(work: Coroutine[None, None, None]) -> None:
    """In a thread: the browser's driver keeps a running loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def enter_card(visited: Page, number: str) -> None:
    visited.wait_for_url("**/payments-stand-in/checkout/**")
    visited.get_by_label("Card number").fill(number)
    visited.get_by_label("Expiry").fill("12 / 30")
    visited.get_by_role("button", name="Save card").click()
    visited.wait_for_url("**/billing?notice=card")


def test_a_month_is_paid_by_a_card_and_a_killed_server_knows_it(
    product: Product,
    page: Page,  # noqa: F811 - the fixture's value
) -> None:
    page.goto(f"{product.address}/sign-up")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    page.wait_for_url("**/namespaces")
    page.goto(f"{product.address}/billing")
    page.get_by_role("button", name="Put a card on file").click()
    enter_card(page, "4000 0000 0000 0341")
    apart(close_month(product, 12_345_678))
    page.goto(f"{product.address}/billing")
    expect(page.get_by_role("row", name="January 2026")).to_contain_text("Payment failed")
    product.kill()
    apart(product.start())
    page.goto(f"{product.address}/billing")
    page.get_by_role("button", name="Replace the card").click()
    enter_card(page, "4242 4242 4242 4242")
    page.get_by_role("link", name="January 2026").click()
    expect(page.get_by_role("row", name="Total")).to_contain_text("$679.01")
    expect(page.locator(".facts")).to_contain_text("Paid")
    with page.expect_download() as paper:
        page.get_by_role("link", name="PDF").click()
    assert paper.value.suggested_filename == "INV-000001.pdf"
    assert paper.value.path().read_bytes().startswith(b"%PDF-")
