from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import alembic.command
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from tenancy import Account, Database, NotFound, migrate
from tenancy.accounts import create_account, locked_account
from tenancy.database import Model, prepare_sqlite
from tenancy.migrate import migration_config, sync_url
from tests.tenancy.cloud import Cloud

BOOT = "import asyncio, sys; from tenancy import migrate; asyncio.run(migrate(sys.argv[1]))"


async def test_migrating_again_keeps_what_is_there(cloud: Cloud) -> None:
    owner = await cloud.owner()
    await migrate(cloud.url)
    assert (await cloud.owner("bob@example.com")).account_id != owner.account_id


async def test_three_processes_may_boot_on_an_empty_database_at_once(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/new.db"
    booting = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", BOOT, url, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    for process in booting:
        _, told = await process.communicate()
        assert process.returncode == 0, told.decode()


def test_the_migrations_make_exactly_the_models(migrated_file: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{migrated_file}")
    prepare_sqlite(engine)
    with engine.begin() as connection:
        alembic.command.check(migration_config(connection))
    engine.dispose()


@pytest.mark.parametrize("table", Model.metadata.tables.values(), ids=str)
def test_every_table_can_be_written_for_postgresql(table: sa.Table) -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    statement = sa.schema.CreateTable(table).compile(dialect=dialect)
    assert table.name in str(statement)


def test_only_sqlite_needs_another_driver_for_migrations() -> None:
    assert sync_url("sqlite+aiosqlite:///x").drivername == "sqlite"
    assert sync_url("postgresql+psycopg://h/x").drivername == "postgresql+psycopg"


async def test_a_unit_of_work_that_raises_leaves_nothing(cloud: Cloud) -> None:
    made: list[str] = []

    async def create_and_fail() -> None:
        async with cloud.database.transaction() as session:
            account = await create_account(
                session, created_at=cloud.clock.now(), token_bytes=cloud.random.randbytes
            )
            made.append(account.id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await create_and_fail()
    async with cloud.database.reading() as session:
        assert await session.get(Account, made[0]) is None


async def test_a_reader_does_not_wait_for_a_writer(cloud: Cloud) -> None:
    async with cloud.database.transaction() as writing:
        await create_account(
            writing, created_at=cloud.clock.now(), token_bytes=cloud.random.randbytes
        )
        async with cloud.database.reading() as reading:
            assert (await reading.scalars(sa.select(Account))).all() == []


async def test_writers_of_two_connections_wait_for_each_other(cloud: Cloud) -> None:
    owner = await cloud.owner()
    other = Database(cloud.url)

    async def count_up(database: Database) -> None:
        async with database.transaction() as session:
            await cloud.control.audit.record(session, owner, "test")

    before = await cloud.audit_count(owner.account_id)
    await asyncio.gather(*(count_up(each) for each in (cloud.database, other) for _ in range(5)))
    assert await cloud.audit_count(owner.account_id) == before + 10
    await other.aclose()


async def test_an_unknown_account_is_not_found(cloud: Cloud) -> None:
    async with cloud.database.transaction() as session:
        with pytest.raises(NotFound, match="nobody"):
            await locked_account(session, "nobody")


async def test_an_account_id_in_use_is_not_given_twice(cloud: Cloud) -> None:
    drawn = iter([b"aaaaa", b"aaaaa", b"bbbbb"])
    async with cloud.database.transaction() as session:
        accounts = [
            await create_account(
                session, created_at=cloud.clock.now(), token_bytes=lambda _count: next(drawn)
            )
            for _ in range(2)
        ]
    assert accounts[0].id != accounts[1].id
