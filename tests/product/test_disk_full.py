"""A full disk: nothing is acknowledged that is not stored, health says why, and it passes."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path

import httpx
import pytest
import temporalio.api.workflowservice.v1 as w

from tests.engine.cell import text
from tests.openmetrics import families_of
from tests.product.client import Lost, Program, open_account, program
from tests.product.server import Preloaded, Product, free_port

DISK_BYTES = 16 * 1024 * 1024
INPUT_BYTES = 64 * 1024
STARTS_MAX = 2 * DISK_BYTES // INPUT_BYTES
TIMEOUT_SECONDS = 2
TURN_SECONDS_MAX = 30
LOOK_AGAIN_SECONDS = 0.05
EXPECTED_LOGS = {"store_failed", "upkeep_failed", "snapshot_refresh_failed", "offer_again_failed"}


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small file system of the test's own."""
    with tempfile.TemporaryDirectory() as place:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "perdure", place]
        try:
            done = subprocess.run(mount, capture_output=True, text=True, check=False)
        except OSError as error:
            pytest.skip(f"a small disk cannot be mounted: {error}")
        if done.returncode:
            pytest.skip("a small disk cannot be mounted without the rights of an administrator")
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", place], check=True)


async def start(shop: Program, number: int) -> str:
    """The run id, once the start is acknowledged. Raises Lost."""
    request = w.StartWorkflowExecutionRequest(
        workflow_id=f"order-{number}", request_id=f"start-{number}", input=text("x" * INPUT_BYTES)
    )
    request.workflow_type.name, request.task_queue.name = "Order", "orders"
    run_id: str = (await shop.ask(request, TIMEOUT_SECONDS)).run_id
    return run_id


async def start_until_full(shop: Program, started: dict[int, str]) -> None:
    """Start orders until one is not acknowledged, and note the run ids of those that are."""
    for number in range(STARTS_MAX):
        try:
            started[number] = await start(shop, number)
        except Lost:
            return
    raise AssertionError("the disk was never full")


async def start_until_health_says_why(
    product: Product, shop: Program, started: dict[int, str]
) -> None:
    """What still fits into the files as they are may be acknowledged, and then it must be kept."""
    async with asyncio.timeout(TURN_SECONDS_MAX):
        for number in itertools.count(STARTS_MAX):
            with suppress(Lost):
                started[number] = await start(shop, number)
            is_ready, why = await product.health("/readyz")
            is_alive, also_why = await product.health("/healthz")
            if all("no space left" in told["cell"] for told in (why, also_why)):
                assert (is_ready, why["ready"]) == (503, False)
                assert is_alive == 200, "a restart makes no space"
                return


async def start_as_soon_as_possible(shop: Program, number: int) -> str:
    async with asyncio.timeout(TURN_SECONDS_MAX):
        while True:
            try:
                return await start(shop, number)
            except Lost:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def check_stored(shop: Program, started: dict[int, str]) -> None:
    """Each acknowledged start is there, with its run and its input."""
    for number, run_id in started.items():
        events = await shop.history(f"order-{number}")
        attributes = events[0].workflow_execution_started_event_attributes
        assert attributes.original_execution_run_id == run_id
        assert attributes.input == text("x" * INPUT_BYTES)


def fill(disk: Path, ballast: Path) -> None:
    """Leave no space at all."""
    with ballast.open("ab", buffering=0) as file:
        size_bytes = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
        while size_bytes:
            try:
                file.write(b"\0" * size_bytes)
            except OSError:
                size_bytes //= 2


def logged(product: Product) -> set[str]:
    return {json.loads(line)["event"] for line in product.told()}


async def store_errors(operators: str) -> float:
    """How often operators are told that the disk was full."""
    async with httpx.AsyncClient(base_url=operators, trust_env=False) as http:
        told = {family.name: family for family in families_of((await http.get("/metrics")).text)}
    full = {"error": "StoreFull"}
    samples = told["perdure_store_errors"].samples
    return next(sample.value for sample in samples if sample.labels == full)


async def check_told_to_operators(operators: str) -> None:
    """The port of their own says the same, and the alert has something to count."""
    async with httpx.AsyncClient(base_url=operators, trust_env=False) as http:
        ready, alive = await http.get("/readyz"), await http.get("/healthz")
    assert (ready.status_code, alive.status_code) == (503, 200)
    assert "no space left" in ready.json()["cell"]
    assert await store_errors(operators) >= 1


async def check_recovery(product: Product, shop: Program, disk: Path, operators: str) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(b"\0" * (DISK_BYTES // 2))
    started: dict[int, str] = {}
    await start_until_full(shop, started)
    assert started
    fill(disk, ballast)
    await start_until_health_says_why(product, shop, started)
    await check_told_to_operators(operators)
    ballast.unlink()
    for number in (-1, -2):
        started[number] = await start_as_soon_as_possible(shop, number)
    await product.ready()
    await check_stored(shop, started)
    product.kill()
    await product.start()
    await check_stored(shop, started)


async def test_a_full_disk_stops_acknowledging_says_so_and_recovers(
    preloaded: Preloaded, disk: Path, tmp_path: Path
) -> None:
    port = free_port()
    arguments = ("--metrics-port", str(port))
    product = Product(preloaded, disk / "data", *arguments, log=tmp_path / "log")
    try:
        await product.start()
        operators = f"http://127.0.0.1:{port}"
        assert await store_errors(operators) == 0
        access = await open_account(product)
        shop = program(product, access)
        async with shop.http, aclosing(access.owner.http):
            await check_recovery(product, shop, disk, operators)
        assert {"store_failed"} <= logged(product) <= EXPECTED_LOGS
    finally:
        product.stop()
