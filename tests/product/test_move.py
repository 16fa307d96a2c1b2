"""An installation is moved to PostgreSQL while its clients wait, and kill -9 does not hinder it."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict

from api.payments import STAND_IN_FILE
from tests.product.client import open_account
from tests.product.kills import Patient, orders_under_way
from tests.product.server import ROOT, Preloaded, Product, serving

ANSWERS_BEFORE_MOVE = 400
KILLS = 2
KILLS_OF_CI = 6
STATEMENT_MAX = 190
"""So many are sent even if all was copied before: the move then verifies."""

RUN_SECONDS_MAX = 240
SEEDS_OF_CI = range(2, 6)


def as_url(conninfo: str) -> str:
    """A database by an URL, which is how a command line names it."""
    parts = conninfo_to_dict(conninfo)
    login = str(parts["user"]) + (f":{parts['password']}" if "password" in parts else "")
    query = f"host={quote(str(parts['host']), safe='')}"
    if "port" in parts:
        query += f"&port={parts['port']}"
    return f"postgresql://{login}@/{parts['dbname']}?{query}"


@pytest.fixture
def url(postgres_database: Callable[[], str]) -> str:
    return as_url(postgres_database())


async def move(data: Path, url: str, kind: str = "", last_step: int = 0) -> tuple[int | None, str]:
    """The status and the words of a move that may be killed at a step of a kind."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.product.killed_move", kind, str(last_step)),
        *("--data", str(data), "--to", url, "--quiet"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await command.communicate()
    return command.returncode, told.decode()


async def move_with_kills(product: Product, url: str, rng: random.Random, kills: int) -> str:
    """What the move says that comes to its end."""
    for _ in range(kills):
        status, told = await move(product.data, url, "statement", rng.randint(1, STATEMENT_MAX))
        assert status == -signal.SIGKILL, told
    status, told = await move(product.data, url)
    assert status == 0, told
    return told


@pytest.mark.parametrize(
    ("seed", "kills"),
    [(1, KILLS), *(pytest.param(it, KILLS_OF_CI, marks=pytest.mark.ci) for it in SEEDS_OF_CI)],
)
async def test_work_goes_on_in_postgresql_after_a_move_that_was_killed(
    preloaded: Preloaded, tmp_path: Path, url: str, seed: int, kills: int
) -> None:
    rng = random.Random(seed)
    async with serving(preloaded, tmp_path / "data") as product:
        access = await open_account(product)
        async with orders_under_way(product, access, rng, RUN_SECONDS_MAX) as caller:
            patient = Patient(caller, 0)
            token = await patient.take_activity()
            await caller.answered(ANSWERS_BEFORE_MOVE)
            product.kill()
            told = await move_with_kills(product, url, rng, kills)
            assert "equal on both sides" in told
            product.arguments = ("--store", url)
            await product.start()
            await patient.finish(token)
            await caller.answered(ANSWERS_BEFORE_MOVE)
            assert await access.owner.namespace("later")


@pytest.mark.parametrize(
    "number", [2, *(pytest.param(it, marks=pytest.mark.ci) for it in (1, 3, 4, 5))]
)
async def test_an_installation_is_in_one_store_wherever_the_move_is_killed(
    preloaded: Preloaded, tmp_path: Path, url: str, number: int
) -> None:
    async with serving(preloaded, tmp_path / "data") as product:
        access = await open_account(product)
        async with aclosing(access.owner.http):
            product.stop()
            status, told = await move(product.data, url, "file", number)
            assert status == -signal.SIGKILL, told
            is_switched = (product.data / "store").read_text() == "postgresql://"
            if not is_switched:
                # Its servers go on in SQLite, and what they change is moved with the rest.
                await product.start()
                await access.owner.namespace("meanwhile")
                product.stop()
            status, told = await move(product.data, url)
            assert status == 0, told
            # The stand-in for Stripe is no part of the installation.
            assert [path.name for path in product.data.glob("*.db")] == [STAND_IN_FILE]
            product.arguments = ("--store", url)
            await product.start()
            found = await access.owner.get("/cloud/namespaces")
            assert len(found["namespaces"]) == 1 + (not is_switched)
