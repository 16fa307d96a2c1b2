"""Several processes collect into one database, and names are whatever tenants choose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest
import sqlalchemy as sa

from billing.queries import GroupBy, namespace_usage, usage_series
from billing.tables import Usage
from billing.times import hour_of
from billing.usage import Collector
from engine.limits import ID_BYTES_MAX
from engine.metering.facts import Fact, FactKind
from tenancy import Database
from tests.billing.conftest import Cell, account_of
from tests.billing.test_queries import NOW
from tests.control_database import until_one_waits

HOUR = hour_of(NOW)


@pytest.fixture
async def beside(control_url: str) -> AsyncIterator[Database]:
    """The same database, as another process has it open."""
    database = Database(control_url)
    yield database
    await database.aclose()


def started(name: str, namespace_id: str = "acme-1") -> Fact:
    return Fact(namespace_id, FactKind.WORKFLOW_STARTED, name, "orders", HOUR, 1)


async def counts(database: Database) -> dict[str, int]:
    async with database.reading() as session:
        rows = await namespace_usage(session, "acme-1")
    return {row.workflow_type: row.count for row in rows}


async def test_two_processes_that_collect_from_one_cell_count_each_row_once(
    database: Database, beside: Database, cell: Cell
) -> None:
    for round_number in range(1, 6):
        for shard_id in range(4):
            cell.commit(started("Order"), started("Shipping"), shard_id=shard_id)
        collectors = [Collector(each, cell, account_of) for each in (database, beside) * 2]
        await asyncio.gather(*(each.run_once() for each in collectors))
        assert await counts(database) == {"Order": 4 * round_number, "Shipping": 4 * round_number}


async def test_two_cells_with_usage_of_one_namespace_are_collected_at_once(
    database: Database, beside: Database
) -> None:
    names = [f"Order{number}" for number in range(20)]
    one, other = Cell("cell-a"), Cell("cell-b")
    for _ in range(5):
        one.commit(*map(started, names))
        other.commit(*map(started, reversed(names)))
        await asyncio.gather(
            Collector(database, one, account_of).run_once(),
            Collector(beside, other, account_of).run_once(),
        )
    assert await counts(database) == dict.fromkeys(names, 10)


async def test_usage_is_written_in_one_order(postgres_control_url: str, cell: Cell) -> None:
    database, beside = Database(postgres_control_url), Database(postgres_control_url)
    cell.commit(started("A"), started("B"))
    await Collector(database, cell, account_of).run_once()
    cell.commit(started("B"), started("A"))
    async with database.transaction() as session:
        row = sa.select(Usage.count).with_for_update(nowait=True)
        await session.execute(row.where(Usage.workflow_type == "A"))
        collecting = asyncio.create_task(Collector(beside, cell, account_of).run_once())
        await until_one_waits(database)
        # It waits for the first and has not taken the second.
        await session.execute(row.where(Usage.workflow_type == "B"))
    await collecting
    assert await counts(database) == {"A": 2, "B": 2}
    await database.aclose()
    await beside.aclose()


async def test_usage_that_is_being_written_gets_its_account_in_the_next_run(
    postgres_control_url: str, cell: Cell
) -> None:
    async def account_by_now(namespace_id: str) -> str | None:
        return "late"

    async def without_account() -> int | None:
        async with database.reading() as session:
            return await session.scalar(
                sa.select(sa.func.count()).select_from(Usage).where(Usage.account_id.is_(None))
            )

    database = Database(postgres_control_url)
    cell.commit(started("Order", "nobody-1"), started("Shipping", "nobody-1"))
    await Collector(database, cell, account_of).run_once()
    assert await without_account() == 2
    async with database.transaction() as session:
        await session.execute(
            sa.update(Usage).where(Usage.workflow_type == "Order").values(count=2)
        )
        await Collector(database, cell, account_by_now).run_once()
    assert await without_account() == 1
    await Collector(database, cell, account_by_now).run_once()
    assert await without_account() == 0
    await database.aclose()


async def test_usage_is_kept_under_whatever_names_tenants_choose(
    database: Database, cell: Cell
) -> None:
    longest = bytearray()
    random = Random(5)
    while len(longest) < ID_BYTES_MAX:
        # Nothing repeats, so that no index can store it in less.
        longest += chr(random.randrange(0x10000, 0x110000)).encode()
    names = ["", "a\0b", "\0", "'; --", "ʃ😀", "Order", "order", longest.decode()]
    cell.commit(*(Fact("acme-1", FactKind.WORKFLOW_STARTED, name, name, HOUR, 1) for name in names))
    await Collector(database, cell, account_of).run_once()
    assert await counts(database) == dict.fromkeys(names, 1)
    async with database.reading() as session:
        for group_by in (GroupBy.WORKFLOW_TYPE, GroupBy.TASK_QUEUE):
            series = await usage_series(session, "acme", HOUR, HOUR + 1, group_by)
            assert [point.key for point in series] == sorted(names)
