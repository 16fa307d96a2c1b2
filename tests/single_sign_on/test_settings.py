"""An owner chooses a provider and forbids passwords; nobody else does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from tenancy import (
    AccountRole,
    Conflict,
    InvalidField,
    Permission,
    PermissionDenied,
    Principal,
    RateLimited,
    Unauthenticated,
    UnauthenticatedReason,
    User,
    WrongState,
)
from tenancy.randomness import new_uuid
from tenancy.roles import PrincipalKind
from tenancy.single_sign_on.settings import CLIENT_SECRET_CHARACTERS_MAX
from tenancy.single_sign_on.tables import SignOnProvider
from tenancy.single_sign_on.tools import QUESTIONS_PER_ACCOUNT
from tenancy.users import principals_of
from tests.single_sign_on.identity_provider import CLIENT_SECRET
from tests.single_sign_on.world import DOMAIN, EMAIL, OWNER_EMAIL, World
from tests.tenancy.cloud import ADDRESS, PASSWORD


async def colleague(world: World, role: AccountRole, name: str = "") -> Principal:
    """Another user of the owner's account, with a password."""
    async with world.database.transaction() as session:
        owner = await session.get_one(User, world.owner.id)
        user = User(
            id=new_uuid(world.entropy),
            account_id=owner.account_id,
            email=f"{name or role}@{DOMAIN}",
            password_hash=owner.password_hash,
            role=role,
            created_at=world.clock.now(),
            updated_at=None,
            email_verified_at=None,
        )
        session.add(user)
        await session.flush()
        return (await principals_of(session, [user]))[user.id]


async def by_password(world: World, email: str) -> str:
    """The id of who got in."""
    world.clock.move(minutes=2)
    opened = await world.control.sign_in.log_in(email=email, password=PASSWORD, address=ADDRESS)
    return opened.principal.id  # type: ignore[union-attr]


@pytest.mark.parametrize("role", sorted(set(AccountRole) - {AccountRole.OWNER}))
async def test_only_an_owner_changes_anything(world: World, role: AccountRole) -> None:
    actor = await colleague(world, role)
    before = len(await world.audited())
    with pytest.raises(PermissionDenied):
        await world.put(world.draft, actor)
    with pytest.raises(PermissionDenied):
        await world.add_domain("other.test", actor)
    with pytest.raises(PermissionDenied):
        await world.prove(DOMAIN, actor)
    with pytest.raises(PermissionDenied):
        async with world.control.acting(actor):
            await world.sign_on.log_ins.begin_test(actor)
    with pytest.raises(PermissionDenied):
        async with world.control.acting(actor) as session:
            await world.sign_on.settings.remove(session, actor)
    denied = (await world.audited())[before:]
    assert [result for _, result, _ in denied] == ["denied"] * 5


async def test_an_owner_s_key_changes_nothing(world: World) -> None:
    key = Principal(
        PrincipalKind.API_KEY,
        "key",
        world.owner.account_id,
        account_role=AccountRole.OWNER,
        account_permission=Permission.ADMIN,
        user_id=world.owner.id,
    )
    with pytest.raises(PermissionDenied):
        await world.put(replace(world.draft, resource_version=1), key)


async def test_the_secret_is_sealed_and_of_use_in_its_own_account_alone(any_world: World) -> None:
    world = any_world
    async with world.database.reading() as session:
        provider = (await session.scalars(sa.select(SignOnProvider))).one()
    assert CLIENT_SECRET.encode() not in provider.client_secret
    assert world.sign_on.settings.client(provider).secret == CLIENT_SECRET
    assert CLIENT_SECRET not in repr(world.sign_on.settings.client(provider))


async def test_the_secret_does_not_follow_to_another_issuer(world: World, second: Any) -> None:
    draft = replace(world.draft, issuer=second.issuer, client_secret=None, resource_version=1)
    with pytest.raises(InvalidField, match="client_secret"):
        await world.put(draft)
    await world.put(replace(draft, client_secret="its own"))


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("issuer", {"issuer": "http://login.example.com"}),
        ("issuer", {"issuer": "login.example.com"}),
        ("issuer", {"issuer": "https://u:p@login.example.com"}),
        ("issuer", {"issuer": "https://10.1.2.3"}),
        ("issuer", {"issuer": "http://169.254.169.254"}),
        ("issuer", {"issuer": "https://login.example.com/?a=b"}),
        ("client_id", {"client_id": ""}),
        ("client_id", {"client_id": "x" * 256}),
        ("client_id", {"client_id": "a\0"}),
        ("client_secret", {"client_secret": ""}),
        ("client_secret", {"client_secret": "x" * (CLIENT_SECRET_CHARACTERS_MAX + 1)}),
        ("default_role", {"default_role": AccountRole.OWNER}),
        ("break_glass_user_id", {"break_glass_user_id": "nobody"}),
    ],
)
async def test_a_wrong_setting_is_told_by_its_name(
    world: World, field: str, changed: dict[str, Any]
) -> None:
    with pytest.raises(InvalidField) as caught:
        await world.put(replace(world.draft, resource_version=1, **changed))
    assert caught.value.field == field


async def test_a_provider_that_does_not_answer_is_not_chosen(world: World) -> None:
    world.provider.faults = {"metadata": lambda it: {**it, "issuer": "https://evil.test"}}
    with pytest.raises(InvalidField, match="another issuer"):
        await world.put(replace(world.draft, resource_version=1))


async def test_settings_are_changed_as_they_were_read(world: World) -> None:
    with pytest.raises(Conflict):
        await world.put(world.draft)
    await world.put(replace(world.draft, resource_version=1))
    with pytest.raises(Conflict):
        await world.put(replace(world.draft, resource_version=1))


async def test_the_break_glass_owner_is_an_owner_of_this_account(world: World) -> None:
    admin = await colleague(world, AccountRole.ADMIN)
    stranger = await world.sign_up("bob@example.com")
    for user in (admin, stranger):
        with pytest.raises(InvalidField, match="break_glass_user_id"):
            await world.put(replace(world.draft, break_glass_user_id=user.id, resource_version=1))


async def test_passwords_are_not_forbidden_before_the_provider_has_worked(world: World) -> None:
    enforced = replace(world.draft, is_enforced=True, resource_version=1)
    with pytest.raises(WrongState, match="run the test first"):
        await world.put(enforced)
    begun = await world.sign_on.log_ins.begin_test(world.owner)
    await world.finish(await world.returned(begun))
    # A secret that is given anew has not worked yet.
    with pytest.raises(WrongState, match="run the test first"):
        await world.put(enforced)
    await world.put(replace(enforced, client_secret=None))


async def test_without_a_proven_domain_there_is_nothing_to_enforce(world: World) -> None:
    await world.log_in()
    async with world.control.acting(world.owner) as session:
        await world.sign_on.domains.remove(session, world.owner, DOMAIN)
    with pytest.raises(WrongState, match="proven domain"):
        await world.put(
            replace(world.draft, client_secret=None, is_enforced=True, resource_version=1)
        )


async def test_where_it_is_enforced_passwords_are_for_the_break_glass_owner(
    any_world: World,
) -> None:
    world = any_world
    admin = await colleague(world, AccountRole.ADMIN)
    assert await by_password(world, f"admin@{DOMAIN}") == admin.id
    await world.enforce()
    with pytest.raises(Unauthenticated) as caught:
        await by_password(world, f"admin@{DOMAIN}")
    assert caught.value.reason is UnauthenticatedReason.SINGLE_SIGN_ON
    assert await by_password(world, OWNER_EMAIL) == world.owner.id
    audited = await world.audited()
    assert ("user.log_in", "denied", [admin.id]) in audited
    assert ("user.break_glass", "accepted", [world.owner.id]) in audited


async def test_a_wrong_password_does_not_tell_that_single_sign_on_is_enforced(
    world: World,
) -> None:
    await colleague(world, AccountRole.ADMIN)
    await world.enforce()
    world.clock.move(minutes=2)
    with pytest.raises(Unauthenticated) as caught:
        await world.control.sign_in.log_in(
            email=f"admin@{DOMAIN}", password="not this one", address=ADDRESS
        )
    assert caught.value.reason is UnauthenticatedReason.BAD_CREDENTIALS


async def test_who_has_an_address_elsewhere_keeps_the_password(world: World) -> None:
    await world.enforce()
    stranger = await world.sign_up("bob@example.com")
    assert await by_password(world, "bob@example.com") == stranger.id


async def test_without_single_sign_on_all_log_in_by_password_again(world: World) -> None:
    admin = await colleague(world, AccountRole.ADMIN)
    await world.enforce()
    async with world.control.acting(world.owner) as session:
        await world.sign_on.settings.remove(session, world.owner)
    assert await by_password(world, f"admin@{DOMAIN}") == admin.id
    with pytest.raises(InvalidField, match="by password"):
        await world.begin()
    await world.put(world.draft)
    # Who is who at the provider was not forgotten.
    assert (await world.log_in()).id == (await world.users())[EMAIL].id


async def test_where_the_break_glass_owner_has_left_the_other_owners_are_let_in(
    any_world: World,
) -> None:
    world = any_world
    other = await colleague(world, AccountRole.OWNER, "second")
    await colleague(world, AccountRole.ADMIN)
    await world.enforce()
    with pytest.raises(Unauthenticated):
        await by_password(world, f"second@{DOMAIN}")
    async with world.control.acting(other) as session:
        await world.control.members.remove(session, other, world.owner.id, resource_version=None)
    assert await by_password(world, f"second@{DOMAIN}") == other.id
    with pytest.raises(Unauthenticated):
        await by_password(world, f"admin@{DOMAIN}")


async def test_an_account_has_us_ask_other_servers_so_often_and_no_more(world: World) -> None:
    world.clock.move(minutes=2)
    for _ in range(QUESTIONS_PER_ACCOUNT.attempts_max):
        await world.prove(DOMAIN)
    with pytest.raises(RateLimited):
        await world.prove(DOMAIN)
    with pytest.raises(RateLimited):
        await world.sign_on.log_ins.begin_test(world.owner)
    with pytest.raises(RateLimited):
        await world.put(replace(world.draft, resource_version=1))
    world.clock.move(seconds=QUESTIONS_PER_ACCOUNT.window_seconds)
    await world.prove(DOMAIN)
