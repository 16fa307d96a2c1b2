from __future__ import annotations

import asyncio
from random import Random

import pytest
import sqlalchemy as sa

from tenancy import (
    AccountRole,
    InvalidField,
    NotFound,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
    UnauthenticatedReason,
    User,
)
from tenancy.login_limits import (
    ATTEMPT_WINDOW_SECONDS,
    ATTEMPTS_PER_ADDRESS_MAX,
    ATTEMPTS_PER_EMAIL_MAX,
)
from tenancy.passwords import HASHINGS_WAITING_MAX, Passwords
from tenancy.sessions import (
    SESSION_AGE_SECONDS_MAX,
    SESSION_IDLE_SECONDS_MAX,
    LoginSession,
    NewSession,
)
from tests.tenancy.cloud import ADDRESS, PASSWORD, Cloud

EMAIL = "ada@example.com"


async def log_in(cloud: Cloud, email: str = EMAIL, password: str = PASSWORD) -> NewSession:
    return await cloud.log_in(email, password)


async def test_a_login_opens_a_session_of_its_user(cloud: Cloud) -> None:
    owner = await cloud.owner()
    opened = await log_in(cloud, email="ADA@example.com")
    visit = await cloud.control.sessions.resume(opened.token)
    assert visit.principal == opened.principal == owner
    visit.check_csrf(opened.csrf_token)


async def test_the_table_holds_no_token_and_no_address(cloud: Cloud) -> None:
    await cloud.owner()
    opened = await log_in(cloud)
    async with cloud.database.reading() as session:
        dump = repr((await session.execute(sa.text("SELECT * FROM login_session"))).all())
        dump += repr((await session.execute(sa.text("SELECT * FROM login_attempt"))).all())
        dump += repr((await session.execute(sa.text("SELECT * FROM audit_record"))).all())
    for secret in (opened.token, opened.csrf_token, EMAIL, ADDRESS, PASSWORD):
        assert secret not in dump


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, "wrong password"),
        ("eve@example.com", PASSWORD),
        ("no address", PASSWORD),
        (EMAIL, "x"),
    ],
)
async def test_wrong_credentials_get_one_answer(cloud: Cloud, email: str, password: str) -> None:
    await cloud.owner()
    with pytest.raises(Unauthenticated) as refusal:
        await log_in(cloud, email, password)
    assert refusal.value.reason is UnauthenticatedReason.BAD_CREDENTIALS
    assert refusal.value.__cause__ is None


async def test_a_failed_login_is_audited_in_the_account(cloud: Cloud) -> None:
    owner = await cloud.owner()
    before = await cloud.audit_count(owner.account_id)
    with pytest.raises(Unauthenticated):
        await log_in(cloud, password="wrong password")
    assert await cloud.audit_count(owner.account_id) == before + 1


async def test_a_used_session_ends_by_age(cloud: Cloud) -> None:
    await cloud.owner()
    token = (await log_in(cloud)).token
    step = SESSION_IDLE_SECONDS_MAX - 1
    for _ in range(SESSION_AGE_SECONDS_MAX // step):
        cloud.clock.move(seconds=step)
        await cloud.control.sessions.resume(token)
    cloud.clock.move(seconds=SESSION_AGE_SECONDS_MAX % step)
    with pytest.raises(Unauthenticated):
        await cloud.control.sessions.resume(token)


async def test_an_idle_session_ends(cloud: Cloud) -> None:
    await cloud.owner()
    token = (await log_in(cloud)).token
    cloud.clock.move(seconds=SESSION_IDLE_SECONDS_MAX)
    with pytest.raises(Unauthenticated) as refusal:
        await cloud.control.sessions.resume(token)
    assert refusal.value.reason is UnauthenticatedReason.NO_SESSION


@pytest.mark.parametrize("token", ["", "x", "\ud800", "ä"])
async def test_a_made_up_token_opens_nothing(cloud: Cloud, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await cloud.control.sessions.resume(token)


async def test_the_csrf_token_belongs_to_one_session(cloud: Cloud) -> None:
    await cloud.owner()
    first, second = await log_in(cloud), await log_in(cloud)
    visit = await cloud.control.sessions.resume(first.token)
    for given in (second.csrf_token, "", "ä", "\ud800"):
        with pytest.raises(Unauthenticated) as refusal:
            visit.check_csrf(given)
        assert refusal.value.reason is UnauthenticatedReason.FOREIGN_PAGE


async def test_logging_out_ends_this_session_only(cloud: Cloud) -> None:
    await cloud.owner()
    first, second = await log_in(cloud), await log_in(cloud)
    visit = await cloud.control.sessions.resume(first.token)
    async with cloud.control.acting(visit.principal) as session:
        await cloud.control.sessions.log_out(session, visit)
    with pytest.raises(Unauthenticated):
        await cloud.control.sessions.resume(first.token)
    await cloud.control.sessions.resume(second.token)


async def test_all_sessions_of_a_user_can_be_ended(cloud: Cloud) -> None:
    owner = await cloud.owner()
    tokens = [(await log_in(cloud)).token for _ in range(2)]
    async with cloud.control.acting(owner) as session:
        assert await cloud.control.sessions.revoke_all(session, owner, owner.id) == len(tokens)
    for token in tokens:
        with pytest.raises(Unauthenticated):
            await cloud.control.sessions.resume(token)


async def test_others_end_a_users_sessions_only_as_its_admins(cloud: Cloud) -> None:
    owner, stranger = await cloud.owner(), await cloud.owner("bob@example.com")
    reader = await cloud.member(owner, AccountRole.READ)
    revoke_all = cloud.control.sessions.revoke_all
    with pytest.raises(PermissionDenied):
        async with cloud.control.acting(reader) as session:
            await revoke_all(session, reader, owner.id)
    with pytest.raises(NotFound):
        async with cloud.control.acting(stranger) as session:
            await revoke_all(session, stranger, owner.id)


async def test_guessing_at_one_email_is_slowed_down(cloud: Cloud) -> None:
    await cloud.owner()
    cloud.clock.move(seconds=ATTEMPT_WINDOW_SECONDS)
    for _ in range(ATTEMPTS_PER_EMAIL_MAX):
        with pytest.raises(Unauthenticated):
            await log_in(cloud, password="wrong password")
        cloud.clock.move(seconds=1)
    with pytest.raises(RateLimited) as refusal:
        await log_in(cloud)
    assert refusal.value.retry_after_seconds == ATTEMPT_WINDOW_SECONDS - ATTEMPTS_PER_EMAIL_MAX
    cloud.clock.move(seconds=refusal.value.retry_after_seconds)
    await log_in(cloud)


async def test_guessing_from_one_address_is_slowed_down(cloud: Cloud) -> None:
    for number in range(ATTEMPTS_PER_ADDRESS_MAX):
        with pytest.raises(Unauthenticated):
            await log_in(cloud, email=f"user{number}@example.com")
    with pytest.raises(RateLimited):
        await log_in(cloud, email="another@example.com")


async def test_a_login_renews_an_outdated_hash(cloud: Cloud) -> None:
    owner = await cloud.owner()
    older = Passwords(token_bytes=Random(3).randbytes, memory_kib=16, passes=1)
    outdated = await older.hash(PASSWORD)
    older.close()
    async with cloud.database.transaction() as session:
        (await session.get_one(User, owner.id)).password_hash = outdated
    await log_in(cloud)
    async with cloud.database.reading() as session:
        renewed = (await session.get_one(User, owner.id)).password_hash
    assert renewed.split("$")[3] != outdated.split("$")[3]
    await log_in(cloud)


async def test_waiting_hashings_are_bounded(passwords: Passwords) -> None:
    floods = [passwords.hash(PASSWORD) for _ in range(HASHINGS_WAITING_MAX + 1)]
    answers = await asyncio.gather(*floods, return_exceptions=True)
    assert [type(answer) for answer in answers].count(RateLimited) == 1
    assert await passwords.verify(await passwords.hash(PASSWORD), PASSWORD)


async def test_a_session_row_is_written_once_a_minute_at_most(cloud: Cloud) -> None:
    await cloud.owner()
    opened = await log_in(cloud)
    seen = []
    for seconds in (59, 1):
        cloud.clock.move(seconds=seconds)
        await cloud.control.sessions.resume(opened.token)
        async with cloud.database.reading() as session:
            seen.append((await session.scalars(sa.select(LoginSession.last_seen_at))).one())
    assert seen[1] == cloud.clock.now() != seen[0]


def test_an_invalid_field_names_field_limit_and_remedy() -> None:
    error = InvalidField("name", "must be short", "shorten it")
    assert str(error) == "name: must be short; shorten it"
