"""Workers that are nothing but HTTP go on when the cloud was killed, and when they were."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from perdure import Client
from perdure.client import WorkflowHandle
from tests.house.tree import ROOT
from tests.product.client import Access, open_account
from tests.product.server import LOOK_AGAIN_SECONDS, Product

NODE = shutil.which("node")
STEP_SECONDS_MAX = 30
LATER = timedelta(hours=1)
GREETED = (b"Hello, world!\n", b"")


@dataclass(frozen=True)
class Program:
    """A worker and client in one. `name` is its queue, and begins its workflow's id."""

    name: str
    words: tuple[str, ...]


IN_PYTHON = Program("bare-python", (sys.executable, "-u", "examples/worker_bare_python.py"))
IN_JAVASCRIPT = Program(
    "plain-javascript", (str(NODE), str(ROOT / "examples/worker_plain_javascript.mjs"))
)
PROGRAMS = [
    pytest.param(IN_PYTHON, id=IN_PYTHON.name),
    pytest.param(
        IN_JAVASCRIPT,
        id=IN_JAVASCRIPT.name,
        marks=pytest.mark.skipif(NODE is None, reason="node is not installed"),
    ),
]


@asynccontextmanager
async def customer(product: Product) -> AsyncIterator[tuple[Access, Client]]:
    access = await open_account(product, "bare")
    async with (
        aclosing(access.owner.http),
        await Client.connect(
            product.address, namespace=access.namespace, api_key=access.key
        ) as client,
    ):
        yield access, client


@asynccontextmanager
async def running(product: Product, access: Access, program: Program) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *program.words,
        cwd=ROOT,
        env={
            **os.environ,
            "PERDURE_ADDRESS": product.address,
            "PERDURE_NAMESPACE": access.namespace,
            "PERDURE_API_KEY": access.key,
        },
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def left_behind(client: Client, program: Program) -> WorkflowHandle:
    """The program's workflow, as an earlier process may have left it: nothing is done yet."""
    return await client.start_workflow(
        "greet", "world", id=f"{program.name}-1", task_queue=program.name, start_delay=LATER
    )


async def begin(handle: WorkflowHandle) -> None:
    """End the delay: a request to cancel is told at once, and these workflows do not obey it."""
    await handle.cancel()


async def polls(client: Client, program: Program, process: Process) -> None:
    """Return when this process asks for tasks."""
    identity = f"{program.name}-{process.pid}"
    async with asyncio.timeout(STEP_SECONDS_MAX):
        while True:
            assert process.returncode is None, await process.communicate()
            queue = await client.calls.get("task-queues", program.name)
            if identity in {poller.get("identity") for poller in queue.get("pollers", ())}:
                return
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def test_workers_without_an_sdk_go_on_when_the_cloud_was_killed(product: Product) -> None:
    programs = [IN_PYTHON, *([IN_JAVASCRIPT] if NODE else [])]
    async with customer(product) as (access, client), AsyncExitStack() as stack:
        handles = [await left_behind(client, program) for program in programs]
        processes = [
            await stack.enter_async_context(running(product, access, program))
            for program in programs
        ]
        pairs = list(zip(programs, processes, strict=True))
        for program, process in pairs:
            await polls(client, program, process)
        product.kill()
        await product.start()
        for program, process in pairs:
            await polls(client, program, process)
        for handle in handles:
            await begin(handle)
        async with asyncio.timeout(STEP_SECONDS_MAX):
            told = await asyncio.gather(*(process.communicate() for process in processes))
        assert told == [GREETED] * len(programs)


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_workflow_goes_on_when_its_worker_was_killed(
    shared: Product, program: Program
) -> None:
    async with customer(shared) as (access, client):
        handle = await left_behind(client, program)
        async with running(shared, access, program) as first:
            await polls(client, program, first)
        async with running(shared, access, program) as second:
            await polls(client, program, second)
            await begin(handle)
            async with asyncio.timeout(STEP_SECONDS_MAX):
                assert await second.communicate() == GREETED
        assert await handle.result() == "Hello, world!"
