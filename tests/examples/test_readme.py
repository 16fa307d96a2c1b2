"""The program that the README shows runs as it stands there."""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from perdure.exceptions import RPCError
from tests.examples.cloud import API_KEY, NAMESPACE, Cloud, until
from tests.house.tree import ROOT

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


@pytest.mark.anyio
async def test_the_readme_s_program_greets_after_its_sleep(cloud: Cloud, tmp_path: Path) -> None:
    path = tmp_path / "hello.py"
    path.write_text(program(cloud.address), encoding="utf-8")
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-u", str(path), stdout=asyncio.subprocess.PIPE
    )
    async with await cloud.connect() as client:
        handle = client.get_workflow_handle("hello-1")
        while running.returncode is None:
            try:
                await until(handle, "TIMER_STARTED")
                break
            except RPCError:
                continue  # The program is about to start it.
        await cloud.skip(timedelta(seconds=20))
        assert await handle.result() == "Hello, world!"
    out, _ = await running.communicate()
    assert out == b"Hello, world!\n"
