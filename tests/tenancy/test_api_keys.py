from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from tenancy import (
    Access,
    AccountRole,
    Conflict,
    InvalidField,
    KeyLabel,
    KeyScope,
    LimitReached,
    NotFound,
    Permission,
    PermissionDenied,
    Principal,
    PrincipalKind,
    Unauthenticated,
    UnauthenticatedReason,
    permits,
)
from tenancy.api_keys import (
    API_KEYS_PER_USER_MAX,
    KEY_DESCRIPTION_CHARACTERS_MAX,
    KEY_LIFE_DAYS_DEFAULT,
    KEY_LIFE_DAYS_MAX,
    KEY_NAME_CHARACTERS_MAX,
)
from tenancy.key_text import KeyDigests
from tenancy.key_use import KEY_USE_COARSENESS_SECONDS
from tests.tenancy.cloud import Cloud


async def test_the_database_does_not_hold_the_key(cloud: Cloud) -> None:
    owner = await cloud.owner()
    created = await cloud.key(owner, Permission.ADMIN)
    secret = created.text.removeprefix(f"prd_{created.key.id}_")
    assert len(secret) == 43 + 8
    async with cloud.database.reading() as session:
        for table in ("api_key", "audit_record", "change"):
            dump = repr((await session.execute(sa.text(f"SELECT * FROM {table}"))).all())
            assert secret[:43] not in dump


async def test_the_digest_depends_on_the_pepper(cloud: Cloud) -> None:
    text = (await cloud.key(await cloud.owner(), Permission.ADMIN)).text
    assert KeyDigests(b"one").parse(text) != KeyDigests(b"another").parse(text)


@pytest.mark.parametrize("position", [0, 4, 10, 20, 21, 40, 64, 70])
async def test_a_mistyped_key_is_malformed(cloud: Cloud, position: int) -> None:
    text = (await cloud.key(await cloud.owner(), Permission.ADMIN)).text
    typed = "2" if text[position] != "2" else "3"
    with pytest.raises(Unauthenticated) as refusal:
        KeyDigests(b"pepper").parse(text[:position] + typed + text[position + 1 :])
    assert refusal.value.reason is UnauthenticatedReason.MALFORMED_KEY


@pytest.mark.parametrize("text", ["", "prd_", "x" * 10_000, "prd_ä", "\ud800"])
def test_what_is_no_key_is_malformed(text: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        KeyDigests(b"pepper").parse(text)
    assert refusal.value.reason is UnauthenticatedReason.MALFORMED_KEY


async def test_every_key_expires(cloud: Cloud) -> None:
    owner = await cloud.owner()
    key = (await cloud.key(owner, Permission.ADMIN)).key
    assert key.expires_at == cloud.clock.now() + timedelta(days=KEY_LIFE_DAYS_DEFAULT)
    scope = KeyScope(Permission.READ)
    create = cloud.control.api_keys.create
    async with cloud.control.acting(owner) as session:
        longest = cloud.clock.now() + timedelta(days=KEY_LIFE_DAYS_MAX)
        await create(session, owner, KeyLabel("long"), scope=scope, expires_at=longest)
        for odd in (cloud.clock.now(), longest + timedelta(seconds=1)):
            with pytest.raises(InvalidField, match="expires_at"):
                await create(session, owner, KeyLabel("odd"), scope=scope, expires_at=odd)


@pytest.mark.parametrize("name", ["", "x" * (KEY_NAME_CHARACTERS_MAX + 1), "a\nb"])
def test_a_key_has_a_readable_name(name: str) -> None:
    with pytest.raises(InvalidField, match="name"):
        KeyLabel(name)


def test_a_name_and_a_description_may_be_as_long_as_the_limits() -> None:
    KeyLabel("x" * KEY_NAME_CHARACTERS_MAX, "y" * KEY_DESCRIPTION_CHARACTERS_MAX)
    with pytest.raises(InvalidField, match="description"):
        KeyLabel("x", "y" * (KEY_DESCRIPTION_CHARACTERS_MAX + 1))


async def test_a_repeated_request_makes_one_key_and_shows_it_once(cloud: Cloud) -> None:
    owner = await cloud.owner()
    made = []
    for _ in range(2):
        async with cloud.control.acting(owner) as session:
            made.append(
                await cloud.control.api_keys.create(
                    session,
                    owner,
                    KeyLabel("ci"),
                    scope=KeyScope(Permission.READ),
                    operation_id="op-1",
                )
            )
    first, again = made
    assert first.text
    assert not again.text
    assert first.key.id == again.key.id
    assert first.operation.id == again.operation.id == "op-1"


async def test_a_change_of_a_key_needs_the_version_that_was_read(cloud: Cloud) -> None:
    owner = await cloud.owner()
    key = (await cloud.key(owner, Permission.READ)).key
    update = cloud.control.api_keys.update
    for _ in range(2):
        async with cloud.control.acting(owner) as session:
            await update(
                session,
                owner,
                key.id,
                KeyLabel("deploy", "of the shop"),
                resource_version=1,
                operation_id="op-1",
            )
    stored = await cloud.stored_key(key.id)
    assert (stored.name, stored.description, stored.resource_version) == (
        "deploy",
        "of the shop",
        2,
    )
    async with cloud.control.acting(owner) as session:
        with pytest.raises(Conflict):
            await update(session, owner, key.id, KeyLabel("other"), resource_version=1)
        with pytest.raises(Conflict):
            await cloud.control.api_keys.revoke(session, owner, key.id, resource_version=1)
        await cloud.control.api_keys.revoke(session, owner, key.id, resource_version=2)


def test_a_scope_is_account_wide_or_a_list() -> None:
    with pytest.raises(InvalidField, match="scope"):
        KeyScope()
    with pytest.raises(InvalidField, match="scope"):
        KeyScope(Permission.READ, {"ns-1": Permission.READ})


async def test_a_user_has_at_most_ten_active_keys(cloud: Cloud) -> None:
    owner = await cloud.owner()
    keys = [await cloud.key(owner, Permission.READ) for _ in range(API_KEYS_PER_USER_MAX)]
    with pytest.raises(LimitReached, match=str(API_KEYS_PER_USER_MAX)):
        await cloud.key(owner, Permission.READ)
    async with cloud.control.acting(owner) as session:
        await cloud.control.api_keys.revoke(session, owner, keys[0].key.id)
    await cloud.key(owner, Permission.READ)
    cloud.clock.move(days=KEY_LIFE_DAYS_DEFAULT)
    await cloud.key(owner, Permission.READ)


async def authenticated(cloud: Cloud, text: str) -> Principal:
    await cloud.control.snapshot.refresh()
    return cloud.control.snapshot.authenticate(text)


@pytest.mark.parametrize("permission", list(Permission))
async def test_a_scoped_key_opens_its_namespace_and_no_other(
    cloud: Cloud, permission: Permission
) -> None:
    owner = await cloud.owner()
    ref, other = await cloud.namespace(owner, "orders"), await cloud.namespace(owner, "billing")
    principal = await authenticated(cloud, (await cloud.key_in(owner, ref, permission)).text)
    assert principal.kind is PrincipalKind.API_KEY
    assert principal.permissions(ref.id) == {permission}
    assert principal.permissions(other.id) == frozenset()
    assert not permits(principal, Access.ACCOUNT_READ, None)


async def test_an_account_wide_key_also_opens_later_namespaces(cloud: Cloud) -> None:
    owner = await cloud.owner()
    text = (await cloud.key(owner, Permission.WORKER)).text
    later = await cloud.namespace(owner)
    principal = await authenticated(cloud, text)
    assert permits(principal, Access.WORKER, later)
    assert not permits(principal, Access.WRITE, later)
    assert not permits(principal, Access.ACCOUNT_READ, None)


@pytest.mark.parametrize(
    ("permission", "role"),
    [
        (Permission.ADMIN, AccountRole.OWNER),
        (Permission.WRITE, AccountRole.READ),
        (Permission.READ, AccountRole.READ),
        (Permission.WORKER, None),
    ],
)
async def test_only_an_account_wide_admin_key_has_its_owners_role(
    cloud: Cloud, permission: Permission, role: AccountRole | None
) -> None:
    text = (await cloud.key(await cloud.owner(), permission)).text
    assert (await authenticated(cloud, text)).account_role is role


async def test_a_key_grants_no_more_than_its_creator_has(cloud: Cloud) -> None:
    owner = await cloud.owner()
    developer = await cloud.member(owner, AccountRole.DEVELOPER)
    others = await cloud.namespace(owner, "orders")
    own = await cloud.namespace(developer, "drafts")
    developer = await cloud.principal(developer.id)
    await cloud.key_in(developer, own, Permission.ADMIN)
    with pytest.raises(PermissionDenied):
        await cloud.key_in(developer, others, Permission.READ)
    with pytest.raises(PermissionDenied):
        await cloud.key(developer, Permission.READ)


async def test_a_key_makes_no_key_that_exceeds_or_outlives_it(cloud: Cloud) -> None:
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    read_key = await authenticated(cloud, (await cloud.key(owner, Permission.READ)).text)
    cloud.clock.move(days=10)
    child = await cloud.key(read_key, Permission.READ)
    assert child.key.user_id == owner.id
    assert child.key.expires_at == read_key.expires_at
    for escalation in (Permission.ADMIN, Permission.WRITE, Permission.WORKER):
        with pytest.raises(PermissionDenied):
            await cloud.key(read_key, escalation)
    worker_key = await authenticated(
        cloud, (await cloud.key_in(owner, ref, Permission.WORKER)).text
    )
    with pytest.raises(PermissionDenied):
        await cloud.key_in(worker_key, ref, Permission.WORKER)


async def test_a_demoted_owners_key_loses_what_the_owner_lost(cloud: Cloud) -> None:
    owner = await cloud.owner()
    second = await cloud.member(owner, AccountRole.OWNER)
    ref = await cloud.namespace(owner)
    wide = (await cloud.key(second, Permission.ADMIN)).text
    scoped = (await cloud.key_in(second, ref, Permission.WRITE)).text
    assert permits(await authenticated(cloud, wide), Access.ADMIN, ref)
    async with cloud.control.acting(owner) as session:
        await cloud.set_role(session, owner, second.id, AccountRole.READ)
    for text in (wide, scoped):
        principal = await authenticated(cloud, text)
        assert not permits(principal, Access.READ, ref)
        assert not permits(principal, Access.ACCOUNT_WRITE, None)


async def test_a_scope_names_namespaces_of_the_own_account(cloud: Cloud) -> None:
    ada, bob = await cloud.owner(), await cloud.owner("bob@example.com")
    foreign = await cloud.namespace(bob)
    with pytest.raises(NotFound):
        await cloud.key_in(ada, foreign, Permission.READ)


async def test_keys_are_managed_by_their_user_and_the_admins(cloud: Cloud) -> None:
    owner, stranger = await cloud.owner(), await cloud.owner("bob@example.com")
    reader = await cloud.member(owner, AccountRole.READ)
    key = (await cloud.key(owner, Permission.ADMIN)).key
    keys = cloud.control.api_keys
    async with cloud.database.reading() as session:
        assert [each.id for each in await keys.visible_to(session, owner)] == [key.id]
        assert await keys.visible_to(session, reader) == []
        assert await keys.visible_to(session, stranger) == []
    with pytest.raises(PermissionDenied):
        async with cloud.control.acting(reader) as session:
            await keys.revoke(session, reader, key.id)
    with pytest.raises(NotFound):
        async with cloud.control.acting(stranger) as session:
            await keys.revoke(session, stranger, key.id)
    async with cloud.control.acting(owner) as session:
        await keys.revoke(session, owner, key.id)
        assert await keys.visible_to(session, owner) == []
        with pytest.raises(NotFound):
            await keys.update(session, owner, key.id, KeyLabel("ci"), resource_version=2)


async def test_the_last_use_is_written_coarsely(cloud: Cloud) -> None:
    key_id = (await cloud.key(await cloud.owner(), Permission.READ)).key.id
    use = cloud.control.key_use
    seen = []
    for seconds in (0, KEY_USE_COARSENESS_SECONDS - 1, 1):
        cloud.clock.move(seconds=seconds)
        use.note_used(key_id, cloud.clock.now())
        await use.flush()
        seen.append((await cloud.stored_key(key_id)).last_used_at)
    assert seen[0] == seen[1] == cloud.clock.now() - timedelta(seconds=KEY_USE_COARSENESS_SECONDS)
    assert seen[2] == cloud.clock.now()


async def test_a_use_that_could_not_be_written_is_kept(cloud: Cloud) -> None:
    key_id = (await cloud.key(await cloud.owner(), Permission.READ)).key.id
    use = cloud.control.key_use
    use.note_used(key_id, cloud.clock.now())
    async with cloud.database.transaction() as session:
        await session.execute(sa.text("ALTER TABLE api_key RENAME TO away"))
    with pytest.raises(sa.exc.DBAPIError):
        await use.flush()
    async with cloud.database.transaction() as session:
        await session.execute(sa.text("ALTER TABLE away RENAME TO api_key"))
    await use.flush()
    assert (await cloud.stored_key(key_id)).last_used_at == cloud.clock.now()
