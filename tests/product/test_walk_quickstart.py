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
from tests.house.tree import ROOT
from tests.product.client import Access, open_account
from tests.product.server import Product

FIRST_PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ANSWER_SECONDS_MAX = 30


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


def filled(text: str, own: Mapping[str, str]) -> str:
    for shown, value in own.items():
        assert shown in text
        text = text.replace(shown, value)
    return text


async def test_the_readme_s_ten_lines_greet(
    shared: Product, customer: Access, tmp_path: Path
) -> None:
    found = FIRST_PROGRAM.search((ROOT / "sdk/README.md").read_text(encoding="utf-8"))
    assert found
    own = {
        "127.0.0.1:8233": shared.address,
        '"NAMESPACE"': f'"{customer.namespace}"',
        '"API_KEY"': f'"{customer.key}"',
    }
    path = tmp_path / "hello.py"
    path.write_text(filled(found[1], own), encoding="utf-8")
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
        "{{ queue }}": "hello",
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
