"""kill -9 of a cell, of the control plane or of the frontend: what was acknowledged is true."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from tests.product.client import Access, open_account, program
from tests.product.orders import Caller, Orders
from tests.product.server import Preloaded, Product
from tests.product.test_kills import (
    ANSWERS_BEFORE_KILL_MAX,
    MOMENT_SECONDS_MAX,
    Patient,
    check_order,
    settled_recount,
)

KILLS_OF_EACH = 2
KILLS_OF_EACH_IN_CI = 12
SEEDS_OF_CI = range(2, 7)
RUN_SECONDS_MAX = 400
DEAD_SECONDS_MAX = 10
TOLD_MEANWHILE = {"snapshot_not_fed", "upkeep_failed", "usage_not_collected"}
"""What a part may warn of while another one is away."""


class Part:
    """A part in a process of its own, which a killed one's successor takes over from."""

    def __init__(self, preloaded: Preloaded, product: Product, verb: str) -> None:
        self._preloaded = preloaded
        self._product = product
        self._verb = verb
        self._pid = 0

    def start(self) -> None:
        data = str(self._product.data)
        log = self._product.log
        self._pid = self._preloaded.start(log, self._verb, "--quiet", "--data", data)

    async def kill(self) -> None:
        """kill -9; the process is gone afterwards."""
        if not self._pid:
            return
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
            self._pid = 0


class Split:
    """The cloud as three processes, and a customer's account on it."""

    def __init__(self, preloaded: Preloaded, data: Path) -> None:
        self.frontend = Product(preloaded, data, verb="frontend")
        self.cell = Part(preloaded, self.frontend, "cell")
        self.control_plane = Part(preloaded, self.frontend, "control-plane")
        self.access: Access

    async def start(self) -> None:
        self.cell.start()
        self.control_plane.start()
        await self.frontend.start()
        self.access = await open_account(self.frontend)

    async def kill(self, kind: str) -> None:
        """Of that kind, and have another one take its place."""
        if kind == "frontend":
            self.frontend.kill()
            await self.frontend.start()
            return
        part = self.cell if kind == "cell" else self.control_plane
        # Whoever calls meanwhile waits for the next one, polls included.
        await part.kill()
        part.start()

    async def end(self) -> None:
        self.frontend.end(signal.SIGKILL)
        await self.cell.kill()
        await self.control_plane.kill()

    def unexpected(self) -> list[str]:
        """What was logged and need not have been."""
        return [line for line in self.frontend.told() if not _is_expected(line)]


def _is_expected(line: str) -> bool:
    return line.startswith("{") and json.loads(line)["event"] in TOLD_MEANWHILE


KINDS = ("cell", "frontend", "control-plane")


@asynccontextmanager
async def split(preloaded: Preloaded, data: Path) -> AsyncIterator[Split]:
    parts = Split(preloaded, data)
    try:
        await parts.start()
        yield parts
    finally:
        await parts.end()


@pytest.mark.parametrize(
    ("seed", "kills"),
    [
        (1, KILLS_OF_EACH),
        *(pytest.param(seed, KILLS_OF_EACH_IN_CI, marks=pytest.mark.ci) for seed in SEEDS_OF_CI),
    ],
)
async def test_killed_parts_keep_every_promise(
    preloaded: Preloaded, tmp_path: Path, seed: int, kills: int
) -> None:
    rng = random.Random(seed)
    async with split(preloaded, tmp_path / "data") as parts:
        shop = program(parts.frontend, parts.access)
        caller = Caller(parts.frontend, shop)
        orders = Orders(caller, rng)
        async with shop.http, aclosing(parts.access.owner.http), asyncio.timeout(RUN_SECONDS_MAX):
            async with asyncio.TaskGroup() as group:
                orders.begin(group)
                await kill_in_turns(parts, caller, rng, kills)
                await orders.end()
            for workflow_id in caller.promises.run_ids:
                await check_order(orders, workflow_id)
            outcome = await settled_recount(caller)
        assert outcome.differences == ()
        assert outcome.recounted > len(caller.promises.run_ids)
        assert parts.unexpected() == []


async def kill_in_turns(parts: Split, caller: Caller, rng: random.Random, kills: int) -> None:
    """At each kill one activity is running; its worker completes it with the token it has."""
    for number in range(kills * len(KINDS)):
        patient = Patient(caller, number)
        token = await patient.take_activity()
        await caller.answered(rng.randint(1, ANSWERS_BEFORE_KILL_MAX))
        await asyncio.sleep(rng.uniform(0, MOMENT_SECONDS_MAX))
        await parts.kill(KINDS[number % len(KINDS)])
        await patient.finish(token)
