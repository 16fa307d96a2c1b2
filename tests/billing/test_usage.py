"""Collecting counts each row of facts once, whatever fails or repeats."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import alembic.command
import pytest
import sqlalchemy as sa

from billing.errors import UnknownFact
from billing.facts import FactRow
from billing.migrations import MIGRATIONS, migrate
from billing.queries import UsageRow, namespace_usage
from billing.tables import Usage, UsageCursor
from billing.times import hour_start
from billing.usage import ROWS_PER_RUN_MAX, Collector
from engine.metering.facts import Fact, FactKind
from tenancy import Database
from tenancy.dialects import open_migration_engine
from tests.billing.conftest import Cell, account_of

HOUR = 500_000
NOW = hour_start(HOUR + 1)


class Crash(Exception):
    """The process dies here."""


def started(count: int = 1, *, namespace_id: str = "acme-1", hour: int = HOUR) -> Fact:
    return Fact(namespace_id, FactKind.WORKFLOW_STARTED, "Order", "orders", hour, count)


async def counted(database: Database, namespace_id: str = "acme-1") -> int:
    async with database.transaction() as session:
        return sum(row.count for row in await namespace_usage(session, namespace_id))


async def accounts(database: Database) -> set[str | None]:
    async with database.transaction() as session:
        return set(await session.scalars(sa.select(Usage.account_id)))


async def collect_all(database: Database, cell: Cell) -> None:
    collector = Collector(database, cell, account_of)
    while await collector.run_once():
        pass


@contextmanager
def crash_at_statement(number: int) -> Iterator[None]:
    """The database connection of this task is lost in front of its nth statement or commit."""
    statements, here = count(1), asyncio.current_task()

    def execute(*_: Any) -> None:
        if asyncio.current_task() is here and next(statements) == number:
            raise Crash

    sa.event.listen(sa.Engine, "before_cursor_execute", execute)
    sa.event.listen(sa.Engine, "commit", execute)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", execute)
        sa.event.remove(sa.Engine, "commit", execute)


async def test_usage_is_kept_by_namespace_action_type_queue_and_hour(
    database: Database, cell: Cell
) -> None:
    cell.commit(started(2), started(hour=HOUR + 1))
    cell.commit(started(3), Fact("acme-1", FactKind.TIMER_STARTED, "Ship", "ships", HOUR, 4))
    await collect_all(database, cell)
    async with database.transaction() as session:
        rows = await namespace_usage(session, "acme-1")
        first_hour = await namespace_usage(session, "acme-1", HOUR, HOUR + 1)
    assert set(rows) == {
        UsageRow("start_workflow", "Order", "orders", HOUR, 5),
        UsageRow("start_workflow", "Order", "orders", HOUR + 1, 1),
        UsageRow("start_timer", "Ship", "ships", HOUR, 4),
    }
    assert set(first_hour) == {row for row in rows if row.hour == HOUR}


async def test_collecting_goes_on_where_the_last_one_stopped(
    database: Database, cell: Cell
) -> None:
    cell.commit(started())
    assert await Collector(database, cell, account_of).run_once() == 1
    cell.commit(started())
    cell.commit(started(), shard_id=2)
    assert await Collector(database, cell, account_of).run_once() == 2
    assert await Collector(database, cell, account_of).run_once() == 0
    assert await Collector(database, cell, account_of).position() == len(cell.rows)
    assert await counted(database) == 3


async def test_more_rows_than_one_run_takes_are_all_collected(
    database: Database, cell: Cell
) -> None:
    for _ in range(ROWS_PER_RUN_MAX + 1):
        cell.commit(started())
    collector = Collector(database, cell, account_of)
    assert [await collector.run_once() for _ in range(3)] == [ROWS_PER_RUN_MAX, 1, 0]
    assert await counted(database) == ROWS_PER_RUN_MAX + 1


async def test_what_is_collected_is_forgotten_by_the_cell_once(
    database: Database, cell: Cell
) -> None:
    collector = Collector(database, cell, account_of)
    await collector.run(NOW)
    assert cell.forgotten == []
    for _ in range(ROWS_PER_RUN_MAX + 1):
        cell.commit(started())
    for _ in range(3):
        await collector.run(NOW)
    assert cell.forgotten == [ROWS_PER_RUN_MAX + 1]
    assert await counted(database) == ROWS_PER_RUN_MAX + 1


async def test_an_hour_is_complete_once_the_end_was_found_behind_it(
    database: Database, cell: Cell
) -> None:
    for _ in range(ROWS_PER_RUN_MAX):
        cell.commit(started())
    collector = Collector(database, cell, account_of)
    await collector.run_once()
    assert await complete_hours(database) == [0]
    await collector.run(NOW)
    assert await complete_hours(database) == [HOUR + 1]
    # Another process whose clock is behind takes nothing back.
    await Collector(database, cell, account_of).run(hour_start(HOUR - 5))
    assert await complete_hours(database) == [HOUR + 1]


async def complete_hours(database: Database) -> list[int]:
    async with database.reading() as session:
        return list(await session.scalars(sa.select(UsageCursor.complete_hour)))


async def test_a_row_that_comes_again_at_another_position_counts_nothing(
    database: Database, cell: Cell
) -> None:
    first, second = cell.commit(started()), cell.commit(started())
    await collect_all(database, cell)
    cell.add(first)
    cell.add(second)
    cell.commit(started())
    await collect_all(database, cell)
    assert await counted(database) == 3


async def test_a_row_twice_in_one_batch_counts_once(database: Database, cell: Cell) -> None:
    cell.add(cell.commit(started()))
    await collect_all(database, cell)
    assert await counted(database) == 1


async def test_equal_sequences_of_other_shards_and_cells_are_other_rows(
    database: Database, cell: Cell
) -> None:
    other_cell = Cell("cell-b")
    for shard_id in (1, 2):
        cell.commit(started(), shard_id=shard_id)
        other_cell.commit(started(), shard_id=shard_id)
    await collect_all(database, cell)
    await collect_all(database, other_cell)
    assert await counted(database) == 4


async def test_two_collectors_that_read_the_same_rows_count_them_once(
    database: Database, cell: Cell
) -> None:
    class Overtaken(Cell):
        """While one collector holds the rows it read, another collects them."""

        async def read_facts(self, after_position: int, limit: int) -> Sequence[FactRow]:
            rows = await cell.read_facts(after_position, limit)
            await collect_all(database, cell)
            return rows

    cell.commit(started())
    cell.commit(started(), shard_id=2)
    assert await Collector(database, Overtaken(), account_of).run_once() == 2
    assert await counted(database) == 2
    assert await Collector(database, cell, account_of).position() == 2


async def test_a_crash_at_any_statement_neither_loses_nor_doubles(
    database: Database, cell: Cell
) -> None:
    crashes = 0
    for number in count(1):
        cell.commit(started(), started(namespace_id="nobody-1"), shard_id=1)
        cell.commit(started(2, hour=HOUR + number), shard_id=number)
        try:
            with crash_at_statement(number):
                await Collector(database, cell, account_of).run_once()
        except Crash:
            crashes += 1
            await collect_all(database, cell)
            assert await counted(database) == 3 * number
            assert await counted(database, "nobody-1") == number
        else:
            break
    assert crashes >= 10


async def test_a_crash_behind_the_commit_doubles_nothing(database: Database, cell: Cell) -> None:
    cell.commit(started())
    await Collector(database, cell, account_of).run_once()
    await collect_all(database, cell)
    assert await counted(database) == 1


async def test_a_failing_source_or_account_look_up_loses_nothing(
    database: Database, cell: Cell
) -> None:
    class Unreachable(Cell):
        async def read_facts(self, after_position: int, limit: int) -> Sequence[FactRow]:
            raise Crash

    async def no_accounts(namespace_id: str) -> str | None:
        raise Crash

    cell.commit(started())
    for collector in (
        Collector(database, Unreachable(), account_of),
        Collector(database, cell, no_accounts),
    ):
        with pytest.raises(Crash):
            await collector.run_once()
        assert await counted(database) == 0
    await collect_all(database, cell)
    assert await counted(database) == 1


async def test_a_fact_without_a_rule_stops_collecting_in_front_of_it(
    database: Database, cell: Cell
) -> None:
    cell.commit(started())
    await collect_all(database, cell)
    cell.commit(started()._replace(kind="workflow_dreamed"))
    collector = Collector(database, cell, account_of)
    with pytest.raises(UnknownFact):
        await collector.run_once()
    assert await collector.position() == 1
    assert await counted(database) == 1


async def test_usage_without_an_account_is_kept_and_assigned_when_it_has_one(
    database: Database, cell: Cell
) -> None:
    async def account_by_now(namespace_id: str) -> str | None:
        return "late"

    cell.commit(started(namespace_id="nobody-1"))
    await collect_all(database, cell)
    assert await counted(database, "nobody-1") == 1
    assert await accounts(database) == {None}
    assert await Collector(database, cell, account_by_now).run_once() == 0
    assert await accounts(database) == {"late"}


async def test_the_account_look_up_may_write_to_the_same_database(
    database: Database, cell: Cell
) -> None:
    async def account_in_database(namespace_id: str) -> str | None:
        async with database.transaction() as session:
            return await session.scalar(sa.select(sa.literal("acme")))

    cell.commit(started())
    await Collector(database, cell, account_in_database).run_once()
    assert await accounts(database) == {"acme"}


async def test_migrating_twice_keeps_the_usage(
    database: Database, cell: Cell, control_url: str
) -> None:
    cell.commit(started())
    await collect_all(database, cell)
    await migrate(control_url)
    assert await counted(database) == 1


async def test_the_migrations_make_the_tables_that_the_code_declares(
    new_control_url: str,
) -> None:
    await migrate(new_control_url)
    engine = open_migration_engine(new_control_url)
    with engine.begin() as connection:
        alembic.command.check(MIGRATIONS.config(connection))
    engine.dispose()
