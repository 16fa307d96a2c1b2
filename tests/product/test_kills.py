"""kill -9 at any moment: what was acknowledged is true, and what was begun is finished."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.product.client import open_account
from tests.product.kills import kill_at_any_moment, orders_under_way
from tests.product.server import Preloaded, serving

KILLS = 10
SEEDS = (1, 2, 3)
SEEDS_OF_CI = tuple(range(4, 11))
STARTING_SECONDS_MAX = 0.6
KILLED_WHILE_STARTING = 0.25
RUN_SECONDS_MAX = 240


@pytest.mark.parametrize(
    "seed", [*SEEDS, *(pytest.param(seed, marks=pytest.mark.ci) for seed in SEEDS_OF_CI)]
)
async def test_a_killed_server_keeps_every_promise(
    preloaded: Preloaded, tmp_path: Path, seed: int
) -> None:
    """Killed while orders are worked on, and sometimes while the next server is starting."""
    rng = random.Random(seed)
    async with serving(preloaded, tmp_path / "data") as product:

        async def kill() -> None:
            product.kill()
            while rng.random() < KILLED_WHILE_STARTING:
                product.launch()
                await asyncio.sleep(rng.uniform(0, STARTING_SECONDS_MAX))
                product.kill()
            await product.start()

        access = await open_account(product)
        async with orders_under_way(product, access, rng, RUN_SECONDS_MAX) as caller:
            while product.kill_count < KILLS:
                await kill_at_any_moment(caller, rng, product.kill_count, kill)
