"""A real browser and a console it can reach.

`PERDURE_CONSOLE_URL` names a running cloud to walk through instead of the one in memory.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from starlette.types import Receive, Scope, Send

from tests.web.fake_cloud import FakeCloud
from web import console, is_page

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS_MAX = 10


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def console_url() -> str | None:
    return os.environ.get("PERDURE_CONSOLE_URL")


class _Server(uvicorn.Server):
    """Says when it listens, so that nobody has to ask again and again."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        self.listening.set()


@contextmanager
def served(cloud: FakeCloud) -> Iterator[str]:
    """The address of a console, and of the API it speaks to, on this machine."""
    api = cloud.app()
    pages = console(api)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (pages if is_page(scope) else api)(scope, receive, send)

    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, lifespan="off", ws="none", log_level="error"
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert server.listening.wait(START_SECONDS_MAX), "the console did not start"
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # As root, in a container, Chromium has no sandbox of its own.
        started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield started
        started.close()


def complaints_of(page: Page, *known: str) -> list[str]:
    """Fills with what the page complains of: broken scripts, refused styles, missing files.

    A complaint with a `known` text in it is left out.
    """
    complaints: list[str] = []

    def note(text: str) -> None:
        if not any(part in text for part in known):
            complaints.append(text)

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            note(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: note(str(error)))
    return complaints


def walk_to_quickstart(page: Page, url: str, *, email: str, password: str, name: str) -> str:
    """From the first page to a worker with its key in it; returns that worker's code."""
    page.goto(url)
    page.get_by_role("link", name="Create an account").click()
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Create account").click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create namespace").click()
    expect(page.get_by_role("heading", name="Run your first workflow")).to_be_visible()
    expect(page.get_by_text("Waiting for a worker")).to_be_visible()
    page.get_by_role("button", name="Create a key").click()
    code = page.locator("#panel-python code").first
    expect(code).not_to_contain_text("YOUR_API_KEY")
    expect(page.get_by_role("tab", name="Python")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#panel-curl")).to_be_hidden()
    return code.inner_text()
