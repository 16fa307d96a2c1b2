"""The whole way in a real browser, before a real server and a certified OpenID provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.control.visitor import PASSWORD
from tests.product.server import Preloaded, Product, serving
from tests.single_sign_on.certified import certified_provider, installed, missing_tools
from tests.single_sign_on.identity_provider import CLIENT_ID, CLIENT_SECRET
from tests.single_sign_on.world import DOMAIN, EMAIL, OWNER_EMAIL
from tests.web.browser import browser, chromium

pytestmark = [
    pytest.mark.ci,
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed"),
    pytest.mark.skipif(bool(missing_tools()), reason="node or npm is not installed"),
    # The server is an asynchronous fixture, which a synchronous test gets only beside this one.
    pytest.mark.usefixtures("anyio_backend"),
]

SHOWN_MS_MAX = 20_000


@pytest.fixture
async def product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Product]:
    """A server that may ask a provider on this machine."""
    monkeypatch.setenv("PERDURE_ALLOW_LOOPBACK_REQUESTS", "1")
    preloaded = Preloaded()
    try:
        async with serving(preloaded, tmp_path / "data") as product:
            yield product
    finally:
        preloaded.close()


@pytest.fixture
def chrome() -> Iterator[Browser]:
    expect.set_options(timeout=SHOWN_MS_MAX)
    with browser() as opened:
        yield opened
    expect.set_options(timeout=None)


def visitor(chrome: Browser) -> Page:
    """Somebody who has been nowhere yet."""
    context = chrome.new_context()
    context.set_default_timeout(SHOWN_MS_MAX)
    return context.new_page()


def sign_up(page: Page, address: str) -> None:
    page.goto(f"{address}/sign-up")
    page.get_by_label("E-mail").fill(OWNER_EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page).to_have_url(f"{address}/namespaces")


def log_in_at_provider(page: Page, name: str) -> None:
    """Its two pages: who are you, and may it be told."""
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill("any will do")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


def configure(page: Page, address: str, issuer: str) -> None:
    page.goto(f"{address}/single-sign-on")
    page.get_by_label("Issuer").fill(issuer)
    page.get_by_label("Client id").fill(CLIENT_ID)
    page.get_by_label("Client secret").fill(CLIENT_SECRET)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Not tested")).to_be_visible()
    page.get_by_label("Domain", exact=True).fill(DOMAIN)
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("button", name=f"Check {DOMAIN}").click()
    expect(page.get_by_text("The domain is proven.")).to_be_visible()


def test_an_owner_connects_a_provider_and_a_colleague_comes_in_through_it(
    product: Product, chrome: Browser, request: pytest.FixtureRequest
) -> None:
    address = product.address
    owner = visitor(chrome)
    sign_up(owner, address)
    owner.goto(f"{address}/single-sign-on")
    redirect_uri = owner.locator("#provider copy-text code").inner_text()
    packages = installed(request)
    with certified_provider(packages, redirect_uri=redirect_uri, domain=DOMAIN) as issuer:
        configure(owner, address, issuer)
        owner.get_by_role("button", name="Test single sign-on").click()
        log_in_at_provider(owner, "ada")
        expect(owner.get_by_text("It works.")).to_be_visible()
        expect(owner.get_by_text(f'"email": "{EMAIL}"')).to_be_visible()
        owner.get_by_role("link", name="Back to the settings").click()
        owner.get_by_label("Refuse passwords").check()
        owner.get_by_role("button", name="Save").click()
        expect(owner.get_by_text("Enforced")).to_be_visible()

        ada = visitor(chrome)
        ada.goto(f"{address}/usage")
        ada.get_by_label("E-mail").fill(EMAIL)
        ada.get_by_role("button", name="Continue with single sign-on").click()
        log_in_at_provider(ada, "ada")
        # On the way to the page that asked for a log-in.
        expect(ada).to_have_url(f"{address}/usage")
        ada.get_by_label("Account menu").click()
        expect(ada.get_by_text(EMAIL)).to_be_visible()

        # The way back is of no use a second time, nor in another browser.
        ada.go_back()
        ada.goto(f"{redirect_uri}?code=x&state=y")
        expect(ada.get_by_role("alert")).to_contain_text("no log-in was begun", ignore_case=True)

        ada.goto(f"{address}/usage")
        ada.get_by_label("Account menu").click()
        ada.get_by_role("button", name="Log out").click()
        expect(ada).to_have_url(f"{address}/login")
