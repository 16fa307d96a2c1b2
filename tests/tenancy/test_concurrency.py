"""Two processes on one database, at once. On SQLite one of them waits for the whole other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tenancy import (
    Account,
    AlreadyExists,
    ApiKey,
    Conflict,
    KeyLabel,
    LimitReached,
    Passwords,
    Permission,
    RateLimited,
    Unauthenticated,
    User,
    namespaces,
)
from tenancy.accounts import locked_account
from tenancy.api_keys import API_KEYS_PER_USER_MAX
from tenancy.changes import Change, ChangeKind, last_seq, record_change
from tenancy.login_limits import ATTEMPT_WINDOW_SECONDS, ATTEMPTS_PER_EMAIL_MAX, LoginAttempt
from tenancy.sessions import SESSION_AGE_SECONDS_MAX, LoginSession
from tests.control_database import until_one_waits
from tests.tenancy.cloud import ADDRESS, PASSWORD, Cloud, open_cloud

EMAIL = "grace@example.com"


@asynccontextmanager
async def process_beside(
    cloud: Cloud, tmp_path: Path, passwords: Passwords
) -> AsyncIterator[Cloud]:
    async with open_cloud(cloud.url, tmp_path / "beside", passwords, seed=8) as other:
        yield other


@pytest.fixture
async def beside(cloud: Cloud, tmp_path: Path, passwords: Passwords) -> AsyncIterator[Cloud]:
    """Another process of the same control plane."""
    async with process_beside(cloud, tmp_path, passwords) as other:
        yield other


@pytest.fixture
async def postgres_beside(
    postgres_cloud: Cloud, tmp_path: Path, passwords: Passwords
) -> AsyncIterator[Cloud]:
    async with process_beside(postgres_cloud, tmp_path, passwords) as other:
        yield other


async def outcomes(*work: Awaitable[Any]) -> list[Any]:
    """What all of them end with, having run at once: an exception's class or a result."""
    ends = await asyncio.gather(*work, return_exceptions=True)
    return [type(end) if isinstance(end, BaseException) else end for end in ends]


def count(ends: Iterable[Any], kind: type[BaseException]) -> int:
    return sum(end is kind for end in ends)


async def test_an_email_signs_up_once(cloud: Cloud, beside: Cloud) -> None:
    ends = await outcomes(
        *(
            each.control.users.sign_up(
                email=EMAIL, password=PASSWORD, address=f"192.0.2.{number}", account_name="Acme"
            )
            for number in range(2)
            for each in (cloud, beside)
        )
    )
    assert ends == [None] * 4
    async with cloud.database.reading() as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(User)) == 1
        account = (await session.scalars(sa.select(Account))).one()
    assert await cloud.audit_count(account.id) == 4


async def test_attempts_to_log_in_are_counted_by_all_processes(cloud: Cloud, beside: Cloud) -> None:
    await cloud.owner(EMAIL)
    cloud.clock.move(seconds=ATTEMPT_WINDOW_SECONDS)
    beside.clock.at = cloud.clock.at
    ends = await outcomes(
        *(
            each.control.sign_in.log_in(email=EMAIL, password=PASSWORD + "?", address=ADDRESS)
            for _ in range(ATTEMPTS_PER_EMAIL_MAX)
            for each in (cloud, beside)
        )
    )
    assert count(ends, Unauthenticated) == count(ends, RateLimited) == ATTEMPTS_PER_EMAIL_MAX


async def test_a_name_is_taken_once(cloud: Cloud, beside: Cloud) -> None:
    owner = await cloud.owner()

    async def create(process: Cloud) -> None:
        async with process.control.acting(owner) as session:
            await process.control.namespaces.create(session, owner, "orders")

    ends = await outcomes(*(create(each) for each in (cloud, beside, cloud, beside)))
    assert (ends.count(None), count(ends, AlreadyExists)) == (1, 3)


async def test_no_limit_is_passed_by_two_at_once(
    cloud: Cloud, beside: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "NAMESPACES_PER_ACCOUNT_MAX", 3)
    owner = await cloud.owner()

    async def create(process: Cloud, number: int) -> None:
        async with process.control.acting(owner) as session:
            await process.control.namespaces.create(session, owner, f"orders-{number}")

    ends = await outcomes(
        *(create(each, number) for number, each in enumerate((cloud, beside) * 3))
    )
    assert (ends.count(None), count(ends, LimitReached)) == (3, 3)
    keys = [each.key(owner, Permission.READ) for each in (cloud, beside) * API_KEYS_PER_USER_MAX]
    assert count(await outcomes(*keys), LimitReached) == API_KEYS_PER_USER_MAX


async def test_an_operation_id_begins_one_operation(cloud: Cloud, beside: Cloud) -> None:
    owner = await cloud.owner()

    async def create(process: Cloud) -> str:
        async with process.control.acting(owner) as session:
            namespaces = process.control.namespaces
            operation = await namespaces.create(session, owner, "orders", operation_id="mine")
            return operation.resource_id

    ends = await outcomes(*(create(each) for each in (cloud, beside, cloud, beside)))
    assert len(set(ends)) == 1


async def test_processes_that_provision_at_once_end_each_operation_once(
    cloud: Cloud, beside: Cloud
) -> None:
    owner = await cloud.owner()
    async with cloud.control.acting(owner) as session:
        for number in range(3):
            await cloud.control.namespaces.create(session, owner, f"orders-{number}")
    before = await cloud.audit_count(owner.account_id)
    await asyncio.gather(
        *(each.control.reconciler.reconcile(cloud.cell) for each in (cloud, beside))
    )
    assert await cloud.control.reconciler.reconcile(cloud.cell) == 0
    assert await cloud.audit_count(owner.account_id) == before + 3


async def test_a_chain_is_verified_as_it_was_at_one_moment(cloud: Cloud) -> None:
    owner = await cloud.owner()
    async with cloud.database.reading() as session:
        before = await cloud.control.audit.verify_chain(session, owner.account_id)
        await cloud.control.record_denial(owner, "test")
        session.expire_all()
        assert await cloud.control.audit.verify_chain(session, owner.account_id) == before
    assert await cloud.audit_count(owner.account_id) == before + 1


async def test_a_change_has_no_number_before_the_one_ahead_of_it_is_committed(
    postgres_cloud: Cloud, postgres_beside: Cloud
) -> None:
    async def change(id: str) -> None:
        async with postgres_beside.database.transaction() as session:
            await record_change(session, ChangeKind.USER, id)

    async def seen() -> tuple[int, list[str]]:
        async with postgres_cloud.database.reading() as session:
            ids = await session.scalars(sa.select(Change.id).order_by(Change.seq))
            return await last_seq(session), list(ids)

    async with postgres_cloud.database.transaction() as session:
        await record_change(session, ChangeKind.USER, "first")
        behind = asyncio.create_task(change("second"))
        await until_one_waits(postgres_cloud.database)
        assert await seen() == (0, [])
    await behind
    assert await seen() == (2, ["first", "second"])


async def test_what_was_read_before_the_lock_is_read_again(
    postgres_cloud: Cloud, postgres_beside: Cloud
) -> None:
    cloud, keys = postgres_cloud, postgres_cloud.control.api_keys
    owner = await cloud.owner()
    key_id = (await cloud.key(owner, Permission.READ)).key.id

    async def rename(process: Cloud, name: str) -> None:
        async with process.control.acting(owner) as session:
            read = await keys.get(session, owner, key_id)
            if process is cloud:
                await rename(postgres_beside, "beside")
            await keys.update(session, owner, key_id, KeyLabel(name), resource_version=1)
            assert read.name == name

    with pytest.raises(Conflict):
        await rename(cloud, "here")
    assert (await cloud.stored_key(key_id)).name == "beside"


async def test_logging_in_does_not_wait_for_expired_sessions_and_attempts(
    postgres_cloud: Cloud,
) -> None:
    cloud = postgres_cloud
    await cloud.owner(EMAIL)
    log_in = partial(cloud.log_in, EMAIL)
    await log_in()
    cloud.clock.move(seconds=SESSION_AGE_SECONDS_MAX)
    async with cloud.database.transaction() as session:
        # Somebody else is about to forget them.
        await session.execute(sa.delete(LoginSession))
        await session.execute(sa.delete(LoginAttempt))
        opened = await log_in()
    visit = await cloud.control.sessions.resume(opened.token)
    assert visit.principal == opened.principal


async def test_uses_of_keys_are_written_in_one_order(
    postgres_cloud: Cloud, postgres_beside: Cloud
) -> None:
    cloud = postgres_cloud
    owner = await cloud.owner()
    first, second = sorted([(await cloud.key(owner, Permission.READ)).key.id for _ in range(2)])
    use = postgres_beside.control.key_use
    use.note_used(second, cloud.clock.now())
    use.note_used(first, cloud.clock.now())
    async with cloud.database.transaction() as session:
        await session.get_one(ApiKey, first, with_for_update=True)
        flushing = asyncio.create_task(use.flush())
        await until_one_waits(cloud.database)
        # It waits for the first and has not taken the second.
        await session.get_one(ApiKey, second, with_for_update={"nowait": True})
    await flushing
    assert (await cloud.stored_key(second)).last_used_at == cloud.clock.now()


@pytest.mark.parametrize("is_waiting", [False, True])
async def test_who_is_cancelled_keeps_no_lock(
    postgres_cloud: Cloud, postgres_beside: Cloud, is_waiting: bool
) -> None:
    cloud = postgres_cloud
    owner = await cloud.owner()
    has_lock = asyncio.Event()

    async def hold_for_ever() -> None:
        async with postgres_beside.database.transaction() as session:
            await locked_account(session, owner.account_id)
            has_lock.set()
            await asyncio.Event().wait()

    async def wait_and_cancel() -> None:
        holding = asyncio.create_task(hold_for_ever())
        await (until_one_waits(cloud.database) if is_waiting else has_lock.wait())
        holding.cancel()
        await asyncio.wait([holding])

    if is_waiting:
        async with cloud.database.transaction() as session:
            await locked_account(session, owner.account_id)
            await wait_and_cancel()
    else:
        await wait_and_cancel()
    await postgres_beside.control.record_denial(owner, "test")
    await cloud.control.record_denial(owner, "test")
