"""kill -9 of the cell or of the front, each a process of its own: what was acknowledged is true."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from contextlib import aclosing
from pathlib import Path

import pytest

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

KILLS_OF_EACH = 3
SEEDS_OF_CI = range(2, 7)
RUN_SECONDS_MAX = 240
DEAD_SECONDS_MAX = 10


class Cell:
    """A cell in a process of its own, which a killed one's successor takes over from."""

    def __init__(self, preloaded: Preloaded, product: Product) -> None:
        self._preloaded = preloaded
        self._product = product
        self._pid = 0

    def start(self) -> None:
        data = str(self._product.data)
        log = self._product.log
        self._pid = self._preloaded.start(log, "cell", "--quiet", "--data", data)

    async def kill(self) -> None:
        """kill -9; the process is gone afterwards."""
        process = os.pidfd_open(self._pid)
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(process, gone.set)
        try:
            os.kill(self._pid, signal.SIGKILL)
            async with asyncio.timeout(DEAD_SECONDS_MAX):
                await gone.wait()
        finally:
            loop.remove_reader(process)
            os.close(process)


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.ci) for seed in SEEDS_OF_CI)]
)
async def test_killed_cells_and_fronts_keep_every_promise(
    preloaded: Preloaded, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    front = Product(preloaded, tmp_path / "data", verb="front")
    cell = Cell(preloaded, front)
    try:
        cell.start()
        await front.start()
        access = await open_account(front)
        shop = program(front, access)
        caller = Caller(front, shop)
        orders = Orders(caller, rng)
        async with shop.http, aclosing(access.owner.http), asyncio.timeout(RUN_SECONDS_MAX):
            async with asyncio.TaskGroup() as group:
                orders.begin(group)
                await kill_in_turns(front, cell, caller, rng)
                await orders.end()
            for workflow_id in caller.promises.run_ids:
                await check_order(orders, workflow_id)
            outcome = await settled_recount(caller)
        assert outcome.differences == ()
        assert outcome.recounted > len(caller.promises.run_ids)
        assert [json.loads(line)["event"] for line in front.told()] == []
    finally:
        front.end(signal.SIGKILL)
        await cell.kill()


async def kill_in_turns(front: Product, cell: Cell, caller: Caller, rng: random.Random) -> None:
    """At each kill one activity is running; its worker completes it with the token it has."""
    for number in range(2 * KILLS_OF_EACH):
        patient = Patient(caller, number)
        token = await patient.take_activity()
        await caller.answered(rng.randint(1, ANSWERS_BEFORE_KILL_MAX))
        await asyncio.sleep(rng.uniform(0, MOMENT_SECONDS_MAX))
        if number % 2:
            front.kill()
            await front.start()
        else:
            # Whoever calls meanwhile waits for the next cell, polls included.
            await cell.kill()
            cell.start()
        await patient.finish(token)
