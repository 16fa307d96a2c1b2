"""The program that the README shows runs as it stands there."""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from perdure.client import WorkflowHandle
from perdure.exceptions import RPCError
from tests.examples.cloud import API_KEY, NAMESPACE, Cloud, until
from tests.house.tree import ROOT

WORKFLOW_ID = "patience-1"
GREETING = "Hello, world!"
SLEEP = timedelta(seconds=20)
CACHE_PATIENCE = timedelta(seconds=10)
PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def program(address: str) -> str:
    """The README's program with the visitor's own settings."""
    found = PROGRAM.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert found
    text = found[1]
    for shown, own in (
        ("http://127.0.0.1:8233", address),
        ("YOUR NAMESPACE", NAMESPACE.full_name),
        ("YOUR KEY", API_KEY),
    ):
        assert shown in text
        text = text.replace(shown, own)
    return text


@pytest.fixture
def path(cloud: Cloud, tmp_path: Path) -> Path:
    path = tmp_path / "hello.py"
    path.write_text(program(cloud.address), encoding="utf-8")
    return path


async def started(path: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-u", str(path), stdout=asyncio.subprocess.PIPE
    )


async def sleeps(running: asyncio.subprocess.Process, handle: WorkflowHandle) -> None:
    """Return when the program's workflow waits for its timer."""
    while running.returncode is None:
        try:
            await until(handle, "TIMER_STARTED")
            return
        except RPCError:
            continue  # The program is about to start it.


@pytest.mark.anyio
async def test_the_readme_s_program_greets_after_its_sleep(cloud: Cloud, path: Path) -> None:
    running = await started(path)
    async with await cloud.connect() as client:
        handle = client.get_workflow_handle(WORKFLOW_ID)
        await sleeps(running, handle)
        await cloud.skip(SLEEP)
        assert await handle.result() == GREETING
    out, _ = await running.communicate()
    assert out.decode() == f"{GREETING}\n"


@pytest.mark.anyio
async def test_the_readme_s_program_killed_and_started_again_goes_on(
    cloud: Cloud, path: Path
) -> None:
    killed = await started(path)
    async with await cloud.connect() as client:
        handle = client.get_workflow_handle(WORKFLOW_ID)
        await sleeps(killed, handle)
        killed.kill()
        await killed.wait()
        again = await started(path)
        await cloud.skip(SLEEP)
        # The worker that was killed had the workflow in its cache and is asked first.
        await until(handle, "TIMER_FIRED")
        await cloud.skip(CACHE_PATIENCE)
        out, _ = await again.communicate()
        assert out.decode() == f"{GREETING}\n"
        assert (await client.count_workflows()).count == 1
