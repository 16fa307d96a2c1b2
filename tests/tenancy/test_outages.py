"""A PostgreSQL server that is away, slow or full."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from api.local_postgres import LocalPostgres
from tenancy import Account, Database, DatabaseUnavailable, Passwords, dialects, migrate
from tenancy.accounts import locked_account
from tenancy.dialects import Patience
from tests.tenancy.cloud import Cloud, open_cloud

pytestmark = pytest.mark.allow_log("database_gave_up")


async def accounts(database: Database) -> int | None:
    async with database.reading() as session:
        return await session.scalar(sa.select(sa.func.count()).select_from(Account))


async def test_a_server_that_comes_back_is_used_again(
    mortal_server: LocalPostgres, tmp_path: Path, passwords: Passwords
) -> None:
    with psycopg.connect(mortal_server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE outage")
    url = mortal_server.url("outage")
    await migrate(url)
    async with open_cloud(url, tmp_path / "snapshot", passwords) as cloud:
        owner = await cloud.owner()

        async def write_while_the_server_ends() -> None:
            async with cloud.database.transaction() as session:
                await locked_account(session, owner.account_id)
                mortal_server.kill()
                await cloud.control.audit.record(session, owner, "test")

        for work in (write_while_the_server_ends(), accounts(cloud.database), migrate(url)):
            with pytest.raises(DatabaseUnavailable):
                await work
        mortal_server.start()
        assert await accounts(cloud.database) == 1
        await cloud.control.record_denial(owner, "test")
        # Signing up and the denial: what was not committed is not there.
        assert await cloud.audit_count(owner.account_id) == 2


async def test_connections_that_the_server_has_closed_fail_nobody(postgres_cloud: Cloud) -> None:
    assert await accounts(postgres_cloud.database) == 0
    with psycopg.connect(postgres_cloud.url, autocommit=True) as connection:
        closed = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    assert (True,) in closed
    assert await accounts(postgres_cloud.database) == 0


async def test_who_waits_too_long_for_a_lock_is_told_to_retry(
    postgres_cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "SERVING", Patience(statement_seconds=5, lock_seconds=0.02))
    owner = await postgres_cloud.owner()
    impatient = Database(postgres_cloud.url)
    async with postgres_cloud.database.transaction() as held:
        await locked_account(held, owner.account_id)
        with pytest.raises(DatabaseUnavailable, match="retry"):
            async with impatient.transaction() as session:
                await locked_account(session, owner.account_id)
    async with impatient.transaction() as session:
        await locked_account(session, owner.account_id)
    await impatient.aclose()


async def test_a_statement_that_takes_too_long_is_given_up(
    postgres_cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "SERVING", Patience(statement_seconds=0.02, lock_seconds=5))
    impatient = Database(postgres_cloud.url)
    with pytest.raises(DatabaseUnavailable):
        async with impatient.reading() as session:
            await session.execute(sa.text("SELECT pg_sleep(60)"))
    assert await accounts(impatient) == 0
    await impatient.aclose()


async def test_who_finds_no_free_connection_is_told_to_retry(
    postgres_cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "POSTGRES_CONNECTIONS_MAX", 2)
    monkeypatch.setattr(dialects, "POOL_WAIT_SECONDS_MAX", 0.01)
    narrow = Database(postgres_cloud.url)
    async with AsyncExitStack() as open_units:
        for _ in range(2):
            session = await open_units.enter_async_context(narrow.reading())
            await session.execute(sa.text("SELECT 1"))
        with pytest.raises(DatabaseUnavailable):
            await accounts(narrow)
    assert await accounts(narrow) == 0
    await narrow.aclose()


async def test_a_unit_of_work_that_reads_cannot_write(postgres_cloud: Cloud) -> None:
    with pytest.raises(sa.exc.InternalError, match="read-only"):
        async with postgres_cloud.database.reading() as session:
            await session.execute(sa.text("UPDATE change_head SET seq = 0"))
