"""What the documents and the console tell a visitor to run, run as it stands there."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from perdure import Client
from perdure.exceptions import RPCError
from tests.house.tree import ROOT
from tests.product.client import Access, open_account
from tests.product.server import Product
from web.pages.overview import QUICKSTART_QUEUE

FIRST_PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
QUEUE_NAMED = re.compile(r'task_queue="([^"]+)"')
ID_NAMED = re.compile(r'\bid="([^"]+)"')
ANSWER_SECONDS_MAX = 30
GREETING_SECONDS_MAX = 90


@pytest.fixture(scope="module")
async def customer(shared: Product) -> AsyncIterator[Access]:
    access = await open_account(shared, "quickstart")
    yield access
    await access.owner.http.aclose()


@asynccontextmanager
async def started(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program of the visitor's, gone when the test is over."""
    program = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE, stderr=PIPE)
    try:
        yield program
    finally:
        if program.returncode is None:
            program.kill()
        await program.communicate()


def program_of(document: str) -> str:
    """The first Python program that a document shows."""
    found = FIRST_PROGRAM.search((ROOT / document).read_text(encoding="utf-8"))
    assert found
    return found[1]


def filled(text: str, own: Mapping[str, str]) -> str:
    for shown, value in own.items():
        assert shown in text
        text = text.replace(shown, value)
    return text


async def test_the_first_program_of_the_sdk_s_readme_greets(
    shared: Product, customer: Access, tmp_path: Path
) -> None:
    own = {
        "127.0.0.1:8233": shared.address,
        '"NAMESPACE"': f'"{customer.namespace}"',
        '"API_KEY"': f'"{customer.key}"',
    }
    path = tmp_path / "hello.py"
    path.write_text(filled(program_of("sdk/README.md"), own), encoding="utf-8")
    async with started(sys.executable, "-u", str(path)) as program:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            assert await program.communicate() == (b"Hello, World!\n", b"")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_console_s_worker_greets_and_serves_what_curl_starts(
    shared: Product, customer: Access, tmp_path: Path
) -> None:
    own = {
        "{{ origin }}": shared.address,
        "{{ namespace }}": customer.namespace,
        "{{ key }}": customer.key,
        "{{ queue }}": QUICKSTART_QUEUE,
    }
    templates = ROOT / "web/templates"
    worker, start = tmp_path / "worker.py", tmp_path / "start.sh"
    for path, name in ((worker, "quickstart_worker.py.txt"), (start, "quickstart_start.sh.txt")):
        path.write_text(filled((templates / name).read_text(encoding="utf-8"), own))
    async with (
        asyncio.timeout(ANSWER_SECONDS_MAX),
        started(sys.executable, "-u", str(worker)) as program,
        await Client.connect(
            shared.address, namespace=customer.namespace, api_key=customer.key
        ) as client,
    ):
        assert program.stdout is not None
        assert await program.stdout.readline() == b"Hello, world!\n"
        async with started("sh", str(start)) as starting:
            told, _ = await starting.communicate()
            assert b'"runId"' in told
        assert await client.get_workflow_handle("hello-2").result() == "Hello, curl!"
        assert program.returncode is None


def test_the_readme_s_program_and_the_console_s_worker_may_run_at_once() -> None:
    readme = program_of("README.md")
    console = (ROOT / "web/templates/quickstart_worker.py.txt").read_text(encoding="utf-8")
    [queue] = set(QUEUE_NAMED.findall(readme))
    assert queue != QUICKSTART_QUEUE
    assert not {*ID_NAMED.findall(readme)} & {*ID_NAMED.findall(console)}


@pytest.mark.ci
async def test_the_readme_s_program_greets_though_the_cloud_was_killed_while_it_slept(
    product: Product, tmp_path: Path
) -> None:
    access = await open_account(product)
    own = {
        "http://127.0.0.1:8233": product.address,
        "YOUR NAMESPACE": access.namespace,
        "YOUR KEY": access.key,
    }
    path = tmp_path / "hello.py"
    path.write_text(filled(program_of("README.md"), own), encoding="utf-8")
    async with (
        asyncio.timeout(GREETING_SECONDS_MAX),
        started(sys.executable, "-u", str(path)) as program,
        await Client.connect(
            product.address, namespace=access.namespace, api_key=access.key
        ) as client,
    ):
        await _sleeps(client, "patience-1")
        product.kill()
        await product.start()
        told, _ = await program.communicate()
        assert told == b"Hello, world!\n"
        assert program.returncode == 0
    await access.owner.http.aclose()


async def _sleeps(client: Client, workflow_id: str) -> None:
    """Return when the workflow, which is about to be started, waits for its timer."""
    handle = client.get_workflow_handle(workflow_id)
    while True:
        try:
            async for event in handle.fetch_history_events(wait_new_event=True):
                if event["eventType"] == "EVENT_TYPE_TIMER_STARTED":
                    return
        except RPCError:
            continue  # The program is about to start it.
