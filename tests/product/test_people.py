"""Two people and an account, in real browsers before a real server; letters are its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.control.visitor import PASSWORD
from tests.product.server import Product
from tests.web.browser import browser, chromium, complaints_of

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed"),
    # The server is an asynchronous fixture, which a synchronous test gets only beside this one.
    pytest.mark.usefixtures("anyio_backend"),
]

SHOWN_MS_MAX = 20_000
LOOKS_MAX = 200
LOOK_AGAIN_MS = 100
REFUSED_FORM = "status of 40"
"""A refused form is answered with the page, and Chromium tells of its status."""
NEW_PASSWORD = "another horse battery"
OWNER, COLLEAGUE = "ada@example.com", "bob@example.com"

Look = Callable[[Page, str], None]
"""Is called where a page is worth looking at, with its name."""


def look_at_nothing(_page: Page, _name: str) -> None:
    """For a test, which sees by what it expects."""


@contextmanager
def visiting(opened: Browser) -> Iterator[Page]:
    """A browser window of its own; what it complains of fails the test."""
    context = opened.new_context()
    context.set_default_timeout(SHOWN_MS_MAX)
    page = context.new_page()
    complaints = complaints_of(page, REFUSED_FORM)
    yield page
    context.close()
    assert not complaints


def link_for(page: Page, folder: Path, to: str, subject: str) -> str:
    """The link in the letter to somebody, once it is there."""
    for _ in range(LOOKS_MAX):
        for path in folder.glob("*.eml"):
            letter = message_from_bytes(path.read_bytes(), policy=default)
            if letter["To"] == to and letter["Subject"].startswith(subject):
                lines = str(letter.get_content()).splitlines()
                return next(line for line in lines if line.startswith("http"))
        page.wait_for_timeout(LOOK_AGAIN_MS)
    raise AssertionError(f"no letter {subject!r} arrived")


def enrol(page: Page, look: Look) -> tuple[pyotp.TOTP, list[str]]:
    page.get_by_role("button", name="Set up").click()
    picture = page.get_by_role("img", name="QR code")
    expect(picture).to_be_visible()
    # An image is in its place before it is decoded.
    assert picture.evaluate("async image => (await image.decode(), image.naturalWidth)") > 0
    look(page, "authenticator")
    totp = pyotp.TOTP(page.locator("copy-text code").inner_text())
    page.get_by_label("The six digits").fill("000000")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("alert")).to_contain_text("is wrong")
    page.get_by_label("The six digits").fill(totp.now())
    page.get_by_role("button", name="Confirm").click()
    codes = page.locator(".recovery-codes li").all_inner_texts()
    look(page, "recovery-codes")
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("recovery codes are left")).to_be_visible()
    return totp, codes


def log_in(page: Page, address: str, email: str, password: str) -> None:
    page.goto(f"{address}/login")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def invite(page: Page, address: str, mail: Path, look: Look) -> None:
    """The owner proves the address, then invites the colleague."""
    page.goto(f"{address}/members")
    expect(page.get_by_text("Confirm your own e-mail address first")).to_be_visible()
    look(page, "members-unverified")
    page.goto(link_for(page, mail, OWNER, "Confirm"))
    look(page, "verify")
    page.get_by_role("button", name="It is mine").click()
    expect(page.get_by_role("status")).to_contain_text("the address is yours")
    page.get_by_label("Name").fill("orders")
    page.get_by_role("button", name="Create namespace").click()
    page.goto(f"{address}/members")
    page.get_by_label("E-mail").fill(COLLEAGUE)
    page.get_by_label("Role").select_option("Read")
    page.get_by_label("orders.").select_option("Write")
    page.get_by_role("button", name="Send invitation").click()
    expect(page.get_by_role("row", name=COLLEAGUE)).to_contain_text("Invited")
    look(page, "members")


def walk(opened: Browser, address: str, mail: Path, look: Look = look_at_nothing) -> None:
    expect.set_options(timeout=SHOWN_MS_MAX)
    with visiting(opened) as owner, visiting(opened) as colleague:
        owner.goto(f"{address}/sign-up")
        owner.get_by_label("E-mail").fill(OWNER)
        owner.get_by_label("Password").fill(PASSWORD)
        owner.get_by_role("button", name="Create account").click()
        expect(owner.get_by_role("heading", name="Namespaces")).to_be_visible()
        invite(owner, address, mail, look)
        colleague.goto(link_for(owner, mail, COLLEAGUE, "You are invited"))
        look(colleague, "join")
        colleague.get_by_label("Choose a password").fill(PASSWORD)
        colleague.get_by_role("button", name="Join").click()
        expect(colleague.get_by_role("status")).to_contain_text("You are a member")
        colleague.goto(f"{address}/members")
        expect(colleague.get_by_role("row", name=OWNER)).to_contain_text("Owner")
        expect(colleague.get_by_role("link", name="Change")).to_have_count(0)
        look(colleague, "members-as-reader")
        owner.goto(f"{address}/security")
        _, codes = enrol(owner, look)
        look(owner, "security")
        owner.get_by_label("Ask everybody").check()
        owner.locator("#policy").get_by_role("button", name="Save").click()
        expect(owner.get_by_role("status")).to_contain_text("Saved")
        colleague.goto(f"{address}/namespaces")
        expect(colleague.get_by_role("alert")).to_contain_text("asks everybody")
        look(colleague, "must-enrol")
        forget_password(colleague, address, mail, look)
        remove(owner, colleague, address, look)
        come_back(owner, address, codes[0], look)
    expect.set_options(timeout=None)


def forget_password(page: Page, address: str, mail: Path, look: Look) -> None:
    """A new password by letter; the second step is still to be set up afterwards."""
    page.goto(f"{address}/login")
    page.get_by_role("link", name="Forgot your password?").click()
    page.get_by_label("E-mail").fill(COLLEAGUE)
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("status")).to_contain_text("on its way")
    look(page, "forgotten")
    page.goto(link_for(page, mail, COLLEAGUE, "Choose a new password"))
    page.get_by_label("New password").fill(NEW_PASSWORD)
    look(page, "reset")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("status")).to_contain_text("all sessions were ended")
    log_in(page, address, COLLEAGUE, NEW_PASSWORD)
    expect(page.get_by_role("alert")).to_contain_text("asks everybody")


def remove(owner: Page, colleague: Page, address: str, look: Look) -> None:
    owner.goto(f"{address}/members")
    owner.get_by_role("link", name=f"Change {COLLEAGUE}").click()
    look(owner, "member")
    owner.get_by_role("button", name="Remove…", exact=True).click()
    dialog = owner.get_by_role("dialog")
    look(owner, "remove")
    dialog.get_by_role("button", name="Remove").click()
    expect(owner.get_by_role("row", name=COLLEAGUE)).to_have_count(0)
    colleague.goto(f"{address}/namespaces")
    expect(colleague.get_by_role("heading", name="Log in")).to_be_visible()


def come_back(page: Page, address: str, code: str, look: Look) -> None:
    """The owner logs out and in again, in two steps."""
    page.get_by_label("Account menu").click()
    page.get_by_role("button", name="Log out").click()
    log_in(page, address, OWNER, PASSWORD)
    look(page, "code")
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("code is wrong")
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Namespaces")).to_be_visible()


@pytest.mark.ci
def test_two_people_share_an_account(product: Product) -> None:
    with browser() as opened:
        walk(opened, product.address, product.data / "mail")
