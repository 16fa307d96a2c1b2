"""kill -9 of a cell, of the control plane or of the frontend: what was acknowledged is true."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.product.client import Access, open_account
from tests.product.kills import PART_AWAY, kill_at_any_moment, orders_under_way
from tests.product.server import Preloaded, Product

KILLS_OF_EACH = 2
KILLS_OF_EACH_IN_CI = 12
SEEDS_OF_CI = range(2, 7)
RUN_SECONDS_MAX = 400
DEAD_SECONDS_MAX = 10


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
        async with orders_under_way(parts.frontend, parts.access, rng, RUN_SECONDS_MAX) as caller:
            for number, kind in enumerate(KINDS * kills):
                await kill_at_any_moment(caller, rng, number, partial(parts.kill, kind))
        assert parts.frontend.told(*PART_AWAY) == []
