"""A visitor's first quarter of an hour: the console in a real browser before a real server."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.control.visitor import PASSWORD
from tests.house.tree import ROOT
from tests.product.server import Product
from tests.web.browser import browser, chromium, complaints_of, walk_to_quickstart

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed"),
    # The server is an asynchronous fixture, which a synchronous test gets only beside this one.
    pytest.mark.usefixtures("anyio_backend"),
]

SHOWN_MS_MAX = 20_000
LOOKS_MAX = 60
LOOK_AGAIN_MS = 500
LEFT_FOR_ANOTHER_SITE = "ViewTransition opt-in disabled"
"""What the browser notes where the next page fades in from none of ours."""
START = re.compile(r"^ +print\(await client\.execute_workflow\(.*?^ +\)\)$", re.M | re.S)

ERRANDS = """
import asyncio
from perdure import Client, Worker, workflow

@workflow.defn
class Errand:
    def __init__(self) -> None:
        self.said: list[str] = []

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: bool(self.said))
        return f"{self.said[0]} was said"

    @workflow.signal
    def say(self, word: str) -> None:
        self.said.append(word)

async def main() -> None:
    client = await Client.connect(ADDRESS, namespace=NAMESPACE, api_key=KEY)
    async with Worker(client, task_queue="errands", workflows=[Errand]):
        for name in ("signaled", "canceled", "terminated"):
            await client.start_workflow(Errand.run, id=name, task_queue="errands")
        print("started", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def page() -> Iterator[Page]:
    """A browser that has never been here; what it complains of fails the test."""
    expect.set_options(timeout=SHOWN_MS_MAX)
    with browser() as opened:
        context = opened.new_context()
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.set_default_timeout(SHOWN_MS_MAX)
        page = context.new_page()
        complaints = complaints_of(page, LEFT_FOR_ANOTHER_SITE)
        yield page
    expect.set_options(timeout=None)
    assert not complaints


@contextmanager
def running(path: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    """A program of the visitor's, as saved from the page."""
    path.write_text(code, encoding="utf-8")
    program = subprocess.Popen(
        [sys.executable, "-u", str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


def line_of(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    return program.stdout.readline().strip()


def setting(code: str, name: str) -> str:
    """A value that the page has put into the worker's code."""
    return code.partition(f'{name}="')[2].partition('"')[0]


def see_first_workflow(page: Page, folder: Path, code: str) -> None:
    # Without its start the worker only connects, which the page shows as a step of its own.
    waiting, count = START.subn("", code)
    assert count == 1
    with running(folder / "waiting.py", waiting):
        expect(page.get_by_text("Worker connected")).to_be_visible()
    with running(folder / "worker.py", code) as worker:
        assert line_of(worker) == "Hello, world!"
        expect(page.get_by_text("Your first workflow completed.")).to_be_visible()
    page.get_by_role("link", name="See what it did").click()
    expect(page.locator(".head-title")).to_contain_text("hello-1")
    expect(page.locator(".head-title")).to_contain_text("Completed")
    expect(page.get_by_text('"Hello, world!"').first).to_be_visible()


def act(page: Page, root: str, name: str, button: str, **fields: str) -> None:
    """Open a workflow from the list, and do to it what a dialog asks."""
    page.goto(f"{root}/workflows")
    page.get_by_role("link", name=name, exact=True).first.click()
    expect(page.locator(".head-title")).to_contain_text("Running")
    page.get_by_role("button", name=button, exact=True).click()
    dialog = page.get_by_role("dialog")
    for label, value in fields.items():
        dialog.get_by_label(label).fill(value)
    dialog.locator("button[type=submit]").click()


def expect_status(page: Page, status: str) -> None:
    expect(page.locator(".head-title")).to_contain_text(status)


def expect_usage(page: Page, address: str, actions: int) -> None:
    """What was done shows on the page of usage some seconds later."""
    shown = ""
    for _ in range(LOOKS_MAX):
        page.goto(f"{address}/usage")
        shown = page.locator(".counts li", has_text="Actions").locator(".count").inner_text()
        if shown == str(actions):
            return
        page.wait_for_timeout(LOOK_AGAIN_MS)
    pytest.fail(f"the page shows {shown} Actions instead of {actions}")


def test_a_visitor_walks_from_sign_up_to_what_it_cost(
    product: Product, page: Page, tmp_path: Path
) -> None:
    walk_to_quickstart(
        page, product.address, email="ada@example.com", password=PASSWORD, name="orders"
    )
    page.get_by_role("button", name="Copy the worker").click()
    expect(page.get_by_role("button", name="Copy the worker")).to_have_text("Copied")
    code = page.evaluate("navigator.clipboard.readText()")
    see_first_workflow(page, tmp_path, code)

    namespace, key = setting(code, "namespace"), setting(code, "api_key")
    root = f"{product.address}/namespaces/{namespace}"
    program = ERRANDS
    for shown, own in (("ADDRESS", product.address), ("NAMESPACE", namespace), ("KEY", key)):
        program = program.replace(shown, repr(own))
    with running(tmp_path / "errands.py", program) as errands:
        assert line_of(errands) == "started"
        act(page, root, "signaled", "Signal", Name="say", Input='"please"')
        expect_status(page, "Completed")
        expect(page.get_by_text('"please was said"').first).to_be_visible()
        act(page, root, "canceled", "Request cancel", Reason="changed my mind")
        expect_status(page, "Canceled")
        act(page, root, "terminated", "Terminate", Reason="enough of it")
        expect_status(page, "Terminated")
        expect(page.get_by_text("enough of it").first).to_be_visible()

    # Four starts, one activity, one signal; to look at them was free.
    expect_usage(page, product.address, 6)
    expect(page.get_by_role("row", name="Start workflow 4 $0.00020")).to_be_visible()
    expect(page.get_by_role("row", name=f"{namespace} $0.00030 6")).to_be_visible()
