"""Codes of authenticator apps: accepted once, near their time, and not by guessing."""

from __future__ import annotations

import pyotp
import pytest
import sqlalchemy as sa

from tenancy import (
    AccountRole,
    NewSession,
    NotFound,
    PermissionDenied,
    Principal,
    RateLimited,
    SecondStep,
    Unauthenticated,
    UnauthenticatedReason,
    WrongState,
)
from tenancy.login_limits import ATTEMPT_WINDOW_SECONDS, CODE_WINDOW_SECONDS, CODES_PER_USER_MAX
from tenancy.one_time_links import SECOND_STEP_MINUTES
from tenancy.second_factor import (
    RECOVERY_CODES,
    STEP_SECONDS,
    STEPS_ASIDE,
    RecoveryCode,
    SecondFactor,
)
from tenancy.sign_in import CODE_TRIES_MAX
from tests.tenancy.cloud import ADDRESS, PASSWORD, Cloud

EMAIL = "ada@example.com"


class App:
    """An authenticator app; its clock is the test's."""

    def __init__(self, cloud: Cloud, seed: str) -> None:
        self._cloud = cloud
        self._totp = pyotp.TOTP(seed, interval=STEP_SECONDS)

    def code(self, steps: int = 0) -> str:
        return self._totp.at(self._cloud.clock.now(), counter_offset=steps)


async def enrol(cloud: Cloud, actor: Principal) -> tuple[App, list[str]]:
    factors = cloud.control.second_factors
    async with cloud.control.acting(actor) as session:
        app = App(cloud, (await factors.begin(session, actor)).seed)
    async with cloud.control.acting(actor) as session:
        codes = await factors.confirm(session, actor, app.code())
    assert codes is not None
    # The next code is another one.
    cloud.clock.move(seconds=STEP_SECONDS)
    return app, list(codes)


async def first_step(cloud: Cloud) -> str:
    step = await cloud.control.sign_in.log_in(email=EMAIL, password=PASSWORD, address=ADDRESS)
    assert isinstance(step, SecondStep)
    return step.token


async def finish(cloud: Cloud, code: str) -> NewSession:
    return await cloud.control.sign_in.finish(token=await first_step(cloud), code=code)


async def test_a_code_opens_a_session_once(cloud: Cloud) -> None:
    app, _ = await enrol(cloud, await cloud.owner())
    code = app.code()
    opened = await finish(cloud, f"{code[:3]} {code[3:]}")
    assert (await cloud.control.sessions.resume(opened.token)).principal == opened.principal
    with pytest.raises(Unauthenticated) as refusal:
        await finish(cloud, code)
    assert refusal.value.reason is UnauthenticatedReason.BAD_CODE


async def test_a_phones_clock_may_be_one_step_off_and_no_more(cloud: Cloud) -> None:
    app, _ = await enrol(cloud, await cloud.owner())
    cloud.clock.move(seconds=10 * STEP_SECONDS)
    for steps in (-STEPS_ASIDE - 1, STEPS_ASIDE + 1):
        with pytest.raises(Unauthenticated):
            await finish(cloud, app.code(steps))
    for steps in (-STEPS_ASIDE, STEPS_ASIDE):
        await finish(cloud, app.code(steps))
    # A code of a step before the last one that was accepted is an old one.
    cloud.clock.move(seconds=ATTEMPT_WINDOW_SECONDS)
    with pytest.raises(Unauthenticated):
        await finish(cloud, app.code(-STEPS_ASIDE - 1))


async def test_a_recovery_code_opens_one_session(cloud: Cloud) -> None:
    owner = await cloud.owner()
    _, codes = await enrol(cloud, owner)
    assert len(set(codes)) == RECOVERY_CODES
    await finish(cloud, codes[0].replace("-", " ").upper())
    with pytest.raises(Unauthenticated):
        await finish(cloud, codes[0])
    async with cloud.database.reading() as session:
        assert await cloud.control.second_factors.codes_left(session, owner.id) == len(codes) - 1


async def test_wrong_codes_end_the_log_in_and_then_all_log_ins_for_a_while(cloud: Cloud) -> None:
    app, codes = await enrol(cloud, await cloud.owner())
    sign_in = cloud.control.sign_in
    cloud.clock.move(seconds=CODE_WINDOW_SECONDS)
    for _ in range(CODES_PER_USER_MAX // CODE_TRIES_MAX):
        token = await first_step(cloud)
        for _ in range(CODE_TRIES_MAX):
            with pytest.raises(Unauthenticated):
                await sign_in.finish(token=token, code="wrong")
        with pytest.raises(Unauthenticated) as refusal:
            await sign_in.finish(token=token, code=app.code())
        assert refusal.value.reason is UnauthenticatedReason.NO_SESSION
    for code in (app.code(), codes[0]):
        with pytest.raises(RateLimited):
            await finish(cloud, code)
    cloud.clock.move(seconds=CODE_WINDOW_SECONDS)
    await finish(cloud, codes[0])


async def test_a_password_that_was_given_long_ago_needs_giving_again(cloud: Cloud) -> None:
    app, _ = await enrol(cloud, await cloud.owner())
    token = await first_step(cloud)
    cloud.clock.move(minutes=SECOND_STEP_MINUTES)
    with pytest.raises(Unauthenticated):
        await cloud.control.sign_in.finish(token=token, code=app.code())


async def test_the_tables_tell_no_seed_and_no_code(cloud: Cloud) -> None:
    owner = await cloud.owner()
    factors = cloud.control.second_factors
    async with cloud.control.acting(owner) as session:
        enrolment = await factors.begin(session, owner)
    assert enrolment.seed in enrolment.uri
    async with cloud.control.acting(owner) as session:
        codes = await factors.confirm(session, owner, App(cloud, enrolment.seed).code())
    assert codes is not None
    async with cloud.database.reading() as session:
        dump = repr((await session.execute(sa.select(SecondFactor.__table__))).all())
        dump += repr((await session.execute(sa.select(RecoveryCode.__table__))).all())
    assert not any(secret in dump for secret in (enrolment.seed, *codes))


async def test_a_seed_is_shown_until_it_is_confirmed(cloud: Cloud) -> None:
    owner = await cloud.owner()
    factors = cloud.control.second_factors
    async with cloud.control.acting(owner) as session:
        made = await factors.begin(session, owner)
        assert await factors.pending(session, owner) == made
        # Nobody is asked for what is only being set up.
        assert await factors.confirm(session, owner, "wrong") is None
    await cloud.log_in()
    async with cloud.control.acting(owner) as session:
        await factors.confirm(session, owner, App(cloud, made.seed).code())
    with pytest.raises(NotFound):
        async with cloud.control.acting(owner) as session:
            await factors.pending(session, owner)
    with pytest.raises(WrongState):
        async with cloud.control.acting(owner) as session:
            await factors.begin(session, owner)


async def test_it_is_removed_with_a_code_and_recovery_codes_are_renewed_with_one(
    cloud: Cloud,
) -> None:
    owner = await cloud.owner()
    app, codes = await enrol(cloud, owner)
    factors = cloud.control.second_factors
    async with cloud.control.acting(owner) as session:
        assert await factors.renew_codes(session, owner, "wrong") is None
        fresh = await factors.renew_codes(session, owner, codes[0])
        assert fresh is not None
        assert not await factors.remove(session, owner, codes[1])
        assert await factors.remove(session, owner, fresh[0])
    await cloud.log_in()
    assert app is not None


async def test_an_owner_removes_anothers_and_nobody_the_own_without_a_code(cloud: Cloud) -> None:
    owner = await cloud.owner()
    admin = await cloud.member(owner, AccountRole.ADMIN)
    await enrol(cloud, owner)
    factors = cloud.control.second_factors
    for actor, user_id in ((owner, owner.id), (admin, owner.id)):
        with pytest.raises(PermissionDenied):
            async with cloud.control.acting(actor) as session:
                await factors.remove_of(session, actor, user_id)
    with pytest.raises(NotFound):
        async with cloud.control.acting(owner) as session:
            await factors.remove_of(session, owner, admin.id)
    second = await cloud.member(owner, AccountRole.OWNER)
    async with cloud.control.acting(second) as session:
        await factors.remove_of(session, second, owner.id)
    await cloud.log_in()
