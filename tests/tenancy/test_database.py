from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import alembic.command
import pytest
import sqlalchemy as sa

import billing.migrations
from tenancy import (
    Account,
    AuditRecord,
    Database,
    InvalidField,
    NotFound,
    SchemaTooNew,
    database,
    migrate,
)
from tenancy.accounts import create_account, locked_account
from tenancy.database import Model, Text
from tenancy.dialects import open_migration_engine
from tenancy.login_limits import LoginAttempt
from tenancy.migrate import MIGRATIONS, Migrations
from tests.tenancy.cloud import Cloud

BOOT = "import asyncio, sys; from tenancy import migrate; asyncio.run(migrate(sys.argv[1]))"


async def test_migrating_again_keeps_what_is_there(cloud: Cloud) -> None:
    owner = await cloud.owner()
    await migrate(cloud.url)
    assert (await cloud.owner("bob@example.com")).account_id != owner.account_id


async def test_three_processes_may_boot_on_an_empty_database_at_once(new_control_url: str) -> None:
    booting = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", BOOT, new_control_url, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    for process in booting:
        _, told = await process.communicate()
        assert process.returncode == 0, told.decode()


async def test_the_migrations_make_exactly_the_models(new_control_url: str) -> None:
    await migrate(new_control_url)
    engine = open_migration_engine(new_control_url)
    with engine.begin() as connection:
        alembic.command.check(MIGRATIONS.config(connection))
    engine.dispose()


@pytest.mark.parametrize(("count", "left"), [(2, 0), (3, 1)])
async def test_one_unit_of_work_forgets_few_of_the_rows_that_are_over(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, count: int, left: int
) -> None:
    monkeypatch.setattr(database, "ROWS_FORGOTTEN_AT_ONCE", 2)
    at = cloud.clock.now()
    over, kept = LoginAttempt.key == b"over", LoginAttempt(id="kept", key=b"kept", at=at)
    async with cloud.database.transaction() as session:
        attempts = (
            LoginAttempt(id=f"over-{number}", key=b"over", at=at) for number in range(count)
        )
        session.add_all([kept, *attempts])
    for expected in (left + 1, 1):
        async with cloud.database.transaction() as session:
            await database.forget(session, LoginAttempt.id, over)
        async with cloud.database.reading() as session:
            counted = sa.select(sa.func.count()).select_from(LoginAttempt)
            assert await session.scalar(counted) == expected


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


@pytest.mark.parametrize("control_url", ["sqlite"], indirect=True)
async def test_a_unit_of_work_that_is_broken_off_gives_its_lock_back(cloud: Cloud) -> None:
    account_id = (await cloud.owner()).account_id
    numbers = sa.text(
        "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 9)"
        " SELECT n FROM number"
    )
    held: list[object] = []

    async def begin_and_break_off() -> None:
        async with cloud.database.transaction() as session:
            await locked_account(session, account_id)
            held.append(unread := await session.stream(numbers))
            assert await anext(unread) == (1,)
            await (await session.connection()).invalidate()
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await begin_and_break_off()
    async with cloud.database.transaction() as session:
        await locked_account(session, account_id)
    held.clear()


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


@pytest.mark.parametrize("migrations", [MIGRATIONS, billing.migrations.MIGRATIONS])
async def test_the_tables_of_a_later_release_are_left_alone(
    control_url: str, migrations: Migrations
) -> None:
    version = sa.table(migrations.version_table, sa.column("version_num"))
    engine = open_migration_engine(control_url)
    with engine.begin() as connection:
        current = connection.scalar(sa.select(version.c.version_num))
        connection.execute(sa.update(version).values(version_num="9999"))
    with pytest.raises(SchemaTooNew, match=r"revision '9999'.*start the release"):
        await migrations.run(control_url)
    with engine.begin() as connection:
        assert connection.scalar(sa.select(version.c.version_num)) == "9999"
        connection.execute(sa.update(version).values(version_num=current))
    engine.dispose()


@pytest.mark.parametrize("text", ["a\0b", "\0", "half a character: \ud83d"])
async def test_text_that_no_database_stores_is_refused_in_questions_too(
    cloud: Cloud, text: str
) -> None:
    owner, control = await cloud.owner(), cloud.control
    for question, asked in (
        (control.namespaces.get, text),
        (control.namespaces.find, f"{text}.{owner.account_id}"),
        (control.api_keys.get, text),
        (control.users.get, text),
        (control.operations.get, text),
    ):
        with pytest.raises(InvalidField, match="NUL"):
            async with cloud.database.reading() as session:
                await question(session, owner, asked)
    with pytest.raises(InvalidField, match=r"async_operation_id: .*printable"):
        async with control.acting(owner) as session:
            await control.namespaces.create(session, owner, "orders", operation_id=text)
    assert await cloud.audit_count(owner.account_id) == 1


async def test_what_a_denial_was_about_is_kept_whatever_it_is(cloud: Cloud) -> None:
    owner = await cloud.owner()
    targets = ("a\0b", "\ud83d", "ʃ😀", "x" * 2_000)
    await cloud.control.record_denial(owner, "test", *targets)
    async with cloud.database.reading() as session:
        query = sa.select(AuditRecord.target_ids).where(AuditRecord.action == "test")
        assert (await session.scalars(query)).one() == [*targets[:3], "x" * 1_000]
    assert await cloud.audit_count(owner.account_id) == 2


async def test_a_moment_is_kept_to_the_microsecond_whatever_its_zone(cloud: Cloud) -> None:
    at = datetime(2026, 3, 29, 2, 30, 0, 123_456, tzinfo=timezone(timedelta(hours=5.5)))
    async with cloud.database.transaction() as session:
        made = await create_account(
            session, created_at=at, token_bytes=cloud.random.randbytes, name="ʃ😀"
        )
    async with cloud.database.reading() as session:
        kept = await session.get_one(Account, made.id)
    assert (kept.created_at, kept.created_at.utcoffset()) == (at, timedelta(0))
    assert (kept.name, kept.audit_hash) == ("ʃ😀", bytes(32))


def test_every_text_of_the_control_plane_is_one_that_can_be_stored() -> None:
    columns = [column for table in Model.metadata.tables.values() for column in table.columns]
    texts = [each for each in columns if isinstance(each.type, Text | sa.String)]
    assert len(texts) > 20
    assert [str(each) for each in texts if not isinstance(each.type, Text | sa.Enum)] == []
