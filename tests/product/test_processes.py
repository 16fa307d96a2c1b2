"""`up --processes`: who watches the parts of a cloud, and what becomes of them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest

from api.installation import installation
from perdure import Client, Worker, activity, workflow
from tests.product.client import control_plane_answers, open_account
from tests.product.kills import WORKER_REFUSED
from tests.product.server import Preloaded, Product

WAIT_SECONDS_MAX = 120
LOOK_AGAIN_SECONDS = 0.05
GREETINGS = 3
PARTS = {"cell", "control-plane", "frontend"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")


def parts(data: Path) -> dict[str, int]:
    """The process ids of the parts that run on this directory, by their names."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if str(data) in words and words[1:3] == ["-m", "api"]:
                name = words[words.index("--cell") + 1] if "--cell" in words else words[3]
                found[name] = int(entry.name)
    return found


async def other_parts(data: Path, before: dict[str, int], count: int) -> dict[str, int]:
    """The parts once there are so many and none of them is one of `before`'s."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            now = parts(data)
            if len(now) == count and not set(now.values()) & set(before.values()):
                return now
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def test_a_part_that_dies_is_started_again_and_all_end_together(
    preloaded: Preloaded, tmp_path: Path
) -> None:
    product = Product(preloaded, tmp_path / "data", "--processes", "--cells", "2")
    try:
        await product.start()
        access = await open_account(product)
        await access.owner.namespace("billing")
        first = parts(product.data)
        assert set(first) == {"cell-1", "cell-2", "control-plane", "frontend"}
        for pid in first.values():
            os.kill(pid, signal.SIGKILL)
        # Who calls meanwhile waits: the socket is that of who watches.
        status, _ = await product.health("/readyz")
        assert status in (200, 503)
        second = await other_parts(product.data, first, len(first))
        await control_plane_answers(access.owner)
        names = await access.owner.get("/cloud/namespaces")
        assert len(names["namespaces"]) == 2
        await access.owner.http.aclose()
        product.stop()
        assert parts(product.data) == {}
        assert second.keys() == first.keys()
        assert len([line for line in product.told() if "process_ended" in line]) == len(first)
    finally:
        product.end(signal.SIGKILL)


async def test_the_parts_do_not_outlive_who_watches_them(
    preloaded: Preloaded, tmp_path: Path
) -> None:
    product = Product(preloaded, tmp_path / "data", "--processes")
    await product.start()
    assert set(parts(product.data)) == {"cell-1", "control-plane", "frontend"}
    product.kill()
    assert await other_parts(product.data, {}, 0) == {}


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        told = []
        for _ in range(GREETINGS):
            await workflow.sleep(timedelta(milliseconds=50))
            told.append(
                await workflow.execute_activity(
                    greet, name, start_to_close_timeout=timedelta(seconds=2)
                )
            )
        return " ".join(told)


async def test_programs_with_our_client_see_no_error_whichever_part_is_killed(
    preloaded: Preloaded, tmp_path: Path, allow_log: Callable[..., None]
) -> None:
    allow_log(*WORKER_REFUSED)
    product = Product(preloaded, tmp_path / "data", "--processes")
    try:
        await product.start()
        access = await open_account(product)
        async with (
            aclosing(access.owner.http),
            await Client.connect(
                product.address, namespace=access.namespace, api_key=access.key
            ) as client,
            Worker(client, task_queue="greetings", workflows=[Greeting], activities=[greet]),
        ):
            # Patience for a machine that has more to do; every call is still made again by itself.
            client.transport.retry_seconds = WAIT_SECONDS_MAX
            for kind, pid in parts(product.data).items():
                async with asyncio.TaskGroup() as group:
                    calls = (
                        client.execute_workflow(
                            Greeting.run, "Ada", id=f"{kind}-{number}", task_queue="greetings"
                        )
                        for number in range(GREETINGS)
                    )
                    told = [group.create_task(call) for call in calls]
                    os.kill(pid, signal.SIGKILL)
                assert {each.result() for each in told} == {" ".join(["Hello, Ada!"] * GREETINGS)}
    finally:
        product.end(signal.SIGKILL)


@pytest.mark.ci
async def test_one_installation_is_not_run_twice(preloaded: Preloaded, tmp_path: Path) -> None:
    product = Product(preloaded, tmp_path / "data", "--processes")
    try:
        await product.start()
        for verb in ("up", *PARTS):
            second = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "api", verb, "--data", str(product.data), "--port", "0"),
                stderr=asyncio.subprocess.PIPE,
            )
            _, told = await second.communicate()
            assert second.returncode == 2
            assert "another server (process " in told.decode()
    finally:
        product.end(signal.SIGKILL)


async def ended(*arguments: str) -> str:
    """What a server that cannot be run says, once."""
    watch = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", *arguments, "--port", "0"), stderr=asyncio.subprocess.PIPE
    )
    _, told = await watch.communicate()
    assert watch.returncode == 2
    return told.decode()


@pytest.mark.ci
async def test_what_cannot_be_run_is_not_started_again_and_again(
    preloaded: Preloaded, tmp_path: Path
) -> None:
    with installation(tmp_path / "data") as held:
        held.store_path.write_text("postgresql://")
    told = await ended("up", "--processes", "--data", str(held.data))
    assert told.count("start with --store") == 1


@pytest.mark.ci
async def test_an_installation_of_several_cells_is_run_with_all_of_them(tmp_path: Path) -> None:
    with installation(tmp_path / "data") as held:
        held.cells_path.write_text("2")
    for arguments in (("up",), ("up", "--processes", "--cells", "1")):
        told = await ended(*arguments, "--data", str(held.data))
        assert "has 2 cells" in told
