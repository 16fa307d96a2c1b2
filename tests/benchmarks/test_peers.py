"""A peer that is driven line by line: what its answers count as."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import pytest

from benchmarks.load import Failed
from benchmarks.peers.dbos_driver import Dbos

FALSE_NUMBER = 1
SERVICE = f"""
import sys
for line in sys.stdin:
    number = int(line.split()[0])
    print(number, "hello-0" if number == {FALSE_NUMBER} else f"hello-{{number}}", flush=True)
"""


@pytest.mark.anyio
async def test_a_workflow_of_a_peer_counts_only_with_its_own_result() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVICE, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    peer = Dbos(process)
    reading = asyncio.create_task(peer.read())
    target = peer.target(steps=1, database_pid=os.getpid())

    assert await target.operation(time.perf_counter()) > 0
    with pytest.raises(Failed):
        await target.operation(time.perf_counter())
    assert target.tally.errors == 1
    assert await target.operation(time.perf_counter()) > 0

    assert process.stdin is not None
    process.stdin.close()
    await reading
    await process.wait()
