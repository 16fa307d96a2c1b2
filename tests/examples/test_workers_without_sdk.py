"""Any language with an HTTP client can be a worker."""

from __future__ import annotations

import asyncio
import shutil
import sys

import pytest

from tests.examples.cloud import API_KEY, NAMESPACE, Cloud
from tests.house.tree import ROOT

pytestmark = pytest.mark.anyio

LINES_MAX = 110
BARE_PYTHON = "examples/worker_bare_python.py"
PLAIN_JAVASCRIPT = "examples/worker_plain_javascript.mjs"
NODE = shutil.which("node")


async def run(cloud: Cloud, *command: str) -> tuple[str, str]:
    """What a program wrote to its standard output and error."""
    program = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={
            "PERDURE_ADDRESS": cloud.address,
            "PERDURE_NAMESPACE": NAMESPACE.full_name,
            "PERDURE_API_KEY": API_KEY,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await program.communicate()
    return out.decode(), errors.decode()


async def test_a_worker_in_bare_python(cloud: Cloud) -> None:
    assert await run(cloud, sys.executable, BARE_PYTHON) == ("Hello, world!\n", "")


@pytest.mark.skipif(NODE is None, reason="node is not installed")
async def test_a_worker_in_plain_javascript(cloud: Cloud) -> None:
    assert await run(cloud, str(NODE), PLAIN_JAVASCRIPT) == ("Hello, world!\n", "")


@pytest.mark.parametrize("path", [BARE_PYTHON, PLAIN_JAVASCRIPT])
def test_a_worker_is_a_hundred_lines(path: str) -> None:
    assert len((ROOT / path).read_text().splitlines()) <= LINES_MAX
