"""The product as a process, killed in the middle of provisioning, and what operators see of it."""

from __future__ import annotations

import asyncio
import sys

import pytest

from api.child import EXIT_UNUSABLE
from api.config import COMMANDS
from tests.control.visitor import PASSWORD, Visitor
from tests.product.conftest import preloaded, product
from tests.product.server import Product

__all__ = ["preloaded", "product"]

KILL_COUNT = 3
EXIT_USAGE = 2
COMMAND_SECONDS_MAX = 60

pytestmark = pytest.mark.ci


async def signed_up(product: Product) -> Visitor:
    owner = Visitor(product.client(), email="ada@example.com")
    told = await owner.post("/api/v1/sign-up", {"email": owner.email, "password": PASSWORD})
    owner.http.headers["X-CSRF-Token"] = told["csrf_token"]
    owner.account_id = told["account_id"]
    return owner


async def command(product: Product, *arguments: str) -> tuple[int, str]:
    """An operator's command on the product's directory: its status and all that it says."""
    assert arguments[0] in COMMANDS
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", *arguments, "--data", str(product.data)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(COMMAND_SECONDS_MAX):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_a_server_killed_while_it_provisions_has_an_active_namespace_in_the_end(
    product: Product,
) -> None:
    owner = await signed_up(product)
    made = await owner.post("/cloud/namespaces", {"spec": {"name": "orders", "retentionDays": 7}})
    operation = made["asyncOperation"]
    for _ in range(KILL_COUNT):
        product.kill()
        await product.start()
    assert (await owner.finished(operation))["state"] == "STATE_FULFILLED"
    found = await owner.get(f"/cloud/namespaces/{made['namespace']}")
    assert found["namespace"]["state"] == "RESOURCE_STATE_ACTIVE"
    id = f"provision-{owner.account_id}-{operation['id']}"
    listed = await answered(product, "system")
    while id in listed and "WORKFLOW_EXECUTION_COMPLETED" not in await answered(
        product, "system", id
    ):
        """The operation may have been ended from outside before its workflow has seen that."""
    listed = await answered(product, "system")
    # None at all if the engine took longer to start than an operation waits.
    statuses = [line.split()[0] for line in listed.splitlines() if id in line]
    assert statuses in ([], ["COMPLETED"])
    await owner.http.aclose()


async def answered(product: Product, *arguments: str) -> str:
    """What the command says once the system cell answers."""
    status, said = await command(product, *arguments)
    while "no control plane answers" in said:
        status, said = await command(product, *arguments)
    assert status == 0, said
    return said


async def test_a_month_is_closed_by_hand_and_by_hand_again(product: Product) -> None:
    said = await answered(product, "close-month", "--month", "2026-01")
    assert said.startswith("close-2026-01: ")
    while "completed" not in said:
        said = await answered(product, "close-month", "--month", "2026-01")
    status, said = await command(product, "close-month", "--month", "2999-01")
    assert status == EXIT_USAGE
    assert "2999-01 can be closed from 2999-02-01 02:00 UTC" in said
    status, said = await command(product, "close-month", "--month", "January")
    assert status == EXIT_USAGE
    assert "a month is named as 2026-11" in said
    product.stop()
    status, said = await command(product, "system")
    assert status == EXIT_UNUSABLE
    assert "no control plane answers" in said
