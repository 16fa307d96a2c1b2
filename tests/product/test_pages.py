"""Every page of the console on a narrow screen: that it fits, can be read, and needs no mouse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.control.visitor import PASSWORD
from tests.product.closing import invoice_of_nothing
from tests.product.server import Product
from tests.product.test_console import SHOWN_MS_MAX, setting
from tests.product.test_people import visiting
from tests.product.test_walk_billing import apart
from tests.web.browser import browser, chromium, walk_to_quickstart
from web.app import NAMESPACE, ROUTES, RUN

pytestmark = [
    pytest.mark.ci,
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed"),
    pytest.mark.usefixtures("anyio_backend"),
]

FAULTS = (Path(__file__).parent / "page_faults.js").read_text(encoding="utf-8")
WIDTH_PIXELS = 390
EMAIL = "ada@example.com"
DOCS, MISSING, EXPIRED_ANSWER = "/docs", "/nothing-here", "/login/sso/{account}"
PUBLIC = {
    "/": "/",
    "/sign-up": "/sign-up",
    "/login": "/login",
    "/forgotten": "/forgotten",
    "/reset": "/reset?token=x",
    "/verify": "/verify?token=x",
    "/join": "/join?token=x",
    EXPIRED_ANSWER: "/login/sso/aaaaaa?code=x&state=x",
    MISSING: MISSING,
    DOCS: DOCS,
}
# What Tab stops at, apart from what a script or a template takes out of its way.
STOPS = """() => [...document.querySelectorAll(
  "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
)].filter((element) => element.tabIndex >= 0 && element.checkVisibility())"""
NAMES = f"() => ({STOPS})().map((element) => element.outerHTML.slice(0, 120))"
FOCUSED = f"() => ({STOPS})().indexOf(document.activeElement)"
BEYOND_MAX = 20
"""How many other stops a browser may have, such as boxes that it found to scroll."""


@pytest.fixture
def page() -> Iterator[Page]:
    expect.set_options(timeout=SHOWN_MS_MAX)
    with browser() as opened, visiting(opened) as page:
        page.set_viewport_size({"width": WIDTH_PIXELS, "height": 800})
        yield page
    expect.set_options(timeout=None)


def start_workflow(address: str, namespace: str, key: str) -> str:
    """The address of its page."""
    wanted = {"workflowType": {"name": "Order"}, "taskQueue": {"name": "orders"}, "input": [7]}
    path = f"/namespaces/{namespace}/workflows/order-7"
    headers = {"authorization": f"Bearer {key}"}
    answer = httpx.post(
        f"{address}/api/v1{path}", json=wanted, headers=headers, timeout=60, trust_env=False
    )
    assert answer.is_success, answer.text
    return f"{path}/{answer.json()['runId']}"


async def close_a_month(product: Product, account_id: str) -> None:
    await invoice_of_nothing(product.data, account_id)


def furnished(page: Page, product: Product) -> Mapping[str, str]:
    """The addresses of the pages of an account that has one of everything, by their routes."""
    address = product.address
    code = walk_to_quickstart(page, address, email=EMAIL, password=PASSWORD, name="orders")
    namespace = setting(code, "namespace")
    root, account_id = f"/namespaces/{namespace}", namespace.partition(".")[2]
    page.goto(f"{address}/budgets")
    page.get_by_label("Name").fill("everything")
    page.get_by_label("A month, in dollars").fill("200")
    page.get_by_role("button", name="Create budget").click()
    page.goto(f"{address}/security")
    page.get_by_role("button", name="Set up").click()
    page.wait_for_url("**/security/authenticator")
    apart(close_a_month(product, account_id))
    return {
        "/namespaces": "/namespaces",
        NAMESPACE: root,
        f"{NAMESPACE}/keys": f"{root}/keys",
        f"{NAMESPACE}/certificates": f"{root}/certificates",
        f"{NAMESPACE}/workflows": f"{root}/workflows",
        RUN: start_workflow(address, namespace, setting(code, "api_key")),
        "/usage": "/usage",
        "/budgets": "/budgets",
        "/budgets/{budget}": linked(page, f"{address}/budgets", "Change everything"),
        "/members": "/members",
        "/members/{member}": linked(page, f"{address}/members", f"Change {EMAIL}"),
        "/security": "/security",
        "/security/authenticator": "/security/authenticator",
        "/single-sign-on": "/single-sign-on",
        "/billing": "/billing",
        "/billing/invoices/{invoice}": linked(page, f"{address}/billing", "January 2026"),
    }


def linked(page: Page, address: str, name: str) -> str:
    """Where a link of the page leads."""
    page.goto(address)
    href = page.get_by_role("link", name=name).get_attribute("href")
    assert href
    return href


def unreached(page: Page) -> list[str]:
    """What Tab does not come to from the top of the page."""
    stops = page.evaluate(NAMES)
    reached = {0}
    page.locator(".skip").focus()
    for _ in range(len(stops) + BEYOND_MAX):
        if len(reached) == len(stops):
            break
        page.keyboard.press("Tab")
        reached.add(page.evaluate(FOCUSED))
    return [name for number, name in enumerate(stops) if number not in reached]


def faults_of(page: Page) -> list[str]:
    page.wait_for_load_state("networkidle")
    faults: list[str] = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        faults += [f"{theme}: {fault}" for fault in page.evaluate(FAULTS)]
    return faults


def test_every_page_fits_a_phone_is_readable_and_needs_no_mouse(
    product: Product, page: Page
) -> None:
    titles: dict[str, str] = {}
    faults: dict[str, list[str]] = {}

    def look_at(pages: Mapping[str, str]) -> None:
        for route, path in pages.items():
            page.goto(product.address + path)
            titles[route] = page.title()
            # The reference has hundreds of links, which are all of one kind.
            missed = [] if route == DOCS else unreached(page)
            if found := faults_of(page) + [f"not reached: {name}" for name in missed]:
                faults[route] = found

    look_at(PUBLIC)
    look_at(furnished(page, product))
    assert faults == {}
    shown = {route.path for route in ROUTES if route.methods and "GET" in route.methods}
    assert shown == titles.keys() - {MISSING, DOCS}
    # Who comes back with an answer that is none logs in again.
    assert titles.pop(EXPIRED_ANSWER) == titles["/login"]
    assert len(set(titles.values())) == len(titles), titles
