"""Who is let in, as whom, and who never is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from tenancy import AccountRole, User
from tenancy.members import MemberAccess
from tenancy.sessions import LoginSession, SignInMethod
from tenancy.single_sign_on import SignOnProblem, SignOnRefused
from tests.single_sign_on.world import DOMAIN, EMAIL, OWNER_EMAIL, World


async def refused(world: World, email: str = EMAIL) -> SignOnProblem:
    answer = await world.returned(await world.begin(email))
    with pytest.raises(SignOnRefused) as caught:
        await world.finish(answer)
    return caught.value.problem


async def test_the_first_log_in_makes_a_user_with_the_default_role(any_world: World) -> None:
    world = any_world
    principal = await world.log_in()
    assert principal.account_id == world.owner.account_id
    assert principal.account_role is AccountRole.READ
    user = (await world.users())[EMAIL]
    assert user.password_hash == ""
    assert user.email_verified_at is not None
    assert ("user.log_in_by_single_sign_on", "accepted", [user.id]) in await world.audited()
    assert (await world.log_in()).id == principal.id
    async with world.database.reading() as session:
        await world.control.audit.verify_chain(session, world.owner.account_id)
        methods = set(await session.scalars(sa.select(LoginSession.method)))
    assert methods == {SignInMethod.SINGLE_SIGN_ON}


async def test_a_user_of_the_account_is_known_by_its_verified_address(any_world: World) -> None:
    any_world.provider.user |= {"email": OWNER_EMAIL.upper()}
    principal = await any_world.log_in(OWNER_EMAIL)
    assert principal.id == any_world.owner.id
    assert principal.account_role is AccountRole.OWNER


async def test_an_address_that_userinfo_tells_is_as_good(world: World) -> None:
    world.provider.tells_email_in_token = False
    assert (await world.users()).keys() == {OWNER_EMAIL}
    await world.log_in()
    assert EMAIL in await world.users()


async def test_an_invited_person_gets_the_role_of_the_invitation(world: World) -> None:
    async with world.control.acting(world.owner) as session:
        owner = await session.get_one(User, world.owner.id)
        owner.email_verified_at = world.clock.now()
        access = MemberAccess(AccountRole.DEVELOPER)
        await world.control.members.invite(session, world.owner, EMAIL, access)
    assert (await world.log_in()).account_role is AccountRole.DEVELOPER


async def test_a_changed_address_makes_nobody_somebody_else(any_world: World) -> None:
    """The subject is who it was; the address that it now has is another user's."""
    world = any_world
    ada = await world.log_in()
    world.provider.user |= {"email": OWNER_EMAIL}
    again = await world.log_in()
    assert again.id == ada.id
    assert again.account_role is AccountRole.READ
    assert (await world.users()).keys() == {OWNER_EMAIL, EMAIL}


async def test_an_address_that_went_to_another_person_does_not_bring_the_user_along(
    world: World,
) -> None:
    await world.log_in()
    world.provider.user |= {"sub": "u-2"}
    assert await refused(world) is SignOnProblem.SUBJECT_CHANGED


async def test_a_user_of_another_account_is_never_linked(any_world: World) -> None:
    world = any_world
    stranger = await world.sign_up(EMAIL)
    assert await refused(world) is SignOnProblem.USER_ELSEWHERE
    assert (await world.users())[EMAIL].account_id == stranger.account_id


async def test_a_subject_of_another_issuer_is_somebody_else(world: World) -> None:
    ada = await world.log_in()
    path = "/.well-known/openid-configuration"
    # The same provider under another name, as when an account moves to another tenant of it.
    host = world.provider.issuer
    world.provider.issuer = host.replace("127.0.0.1", "localhost")
    await world.put(replace(world.draft, resource_version=1))
    assert path in world.provider.asked
    world.provider.user |= {"email": OWNER_EMAIL}
    assert (await world.log_in()).id == world.owner.id
    assert ada.id != world.owner.id


async def test_who_came_before_does_not_when_the_domain_is_given_up(world: World) -> None:
    await world.log_in()
    begun = await world.begin()
    async with world.control.acting(world.owner) as session:
        await world.sign_on.domains.remove(session, world.owner, DOMAIN)
    with pytest.raises(SignOnRefused) as caught:
        await world.finish(await world.returned(begun))
    assert caught.value.problem is SignOnProblem.DOMAIN_NOT_PROVEN


async def test_a_provider_vouches_for_its_own_account_alone(world: World) -> None:
    """Another account's owner whose provider knows the victim's addresses gets nowhere."""
    eve = await world.sign_up("eve@evil.test")
    await world.put(world.draft, eve)
    await world.add_domain("evil.test", eve)
    await world.prove("evil.test", eve)
    begun = await world.begin("x@evil.test")
    world.provider.redirect_uri = world.sign_on.settings.redirect_uri(eve.account_id)
    world.provider.user |= {"email": OWNER_EMAIL}
    with pytest.raises(SignOnRefused) as caught:
        await world.finish(await world.returned(begun))
    assert caught.value.problem is SignOnProblem.DOMAIN_NOT_PROVEN


async def test_a_test_shows_the_claims_and_logs_nobody_in(any_world: World) -> None:
    world = any_world
    begun = await world.sign_on.log_ins.begin_test(world.owner)
    finished = await world.finish(await world.returned(begun))
    assert finished.opened is None
    report = finished.report
    assert report is not None
    assert (report.problem, report.email, report.is_new_user) == (None, EMAIL, True)
    assert '"sub": "u-1"' in report.claims
    assert EMAIL not in await world.users()
    assert ("single_sign_on.test", "accepted", [world.owner.id]) in await world.audited()


async def test_a_test_that_fails_says_why_and_shows_what_was_verified(world: World) -> None:
    world.provider.user |= {"email_verified": False}
    begun = await world.sign_on.log_ins.begin_test(world.owner)
    report = (await world.finish(await world.returned(begun))).report
    assert report is not None
    assert isinstance(report.problem, SignOnRefused)
    assert report.problem.problem is SignOnProblem.EMAIL_NOT_VERIFIED
    assert '"email_verified": false' in report.claims
    world.provider.faults = {"token": lambda it: it[:-4] + "AAAA"}
    begun = await world.sign_on.log_ins.begin_test(world.owner)
    report = (await world.finish(await world.returned(begun))).report
    assert report is not None
    assert report.claims == "{}"
