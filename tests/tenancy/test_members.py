"""Members: what lasts, what goes with them, and what cannot be asked of an account."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tenancy import (
    Access,
    AccountRole,
    AlreadyExists,
    ApiKey,
    Conflict,
    InvalidField,
    LimitReached,
    NotFound,
    Permission,
    PermissionDenied,
    Principal,
    RateLimited,
    Unauthenticated,
    UnauthenticatedReason,
    User,
    WrongState,
    permits,
)
from tenancy.accounts import locked_account
from tenancy.invitations import INVITATION_DAYS, Invitation
from tenancy.login_limits import INVITATIONS_PER_ACCOUNT_MAX, LETTER_WINDOW_SECONDS
from tenancy.mail.outbox import PostedLetter
from tenancy.members import MEMBERS_PER_ACCOUNT_MAX, MemberAccess
from tenancy.roles import NAMESPACE_ACCESS
from tenancy.sessions import SignInMethod
from tests.tenancy.cloud import ADDRESS, PASSWORD, Cloud

BOB = "bob@example.com"
READER = MemberAccess(AccountRole.READ)


async def verified_owner(cloud: Cloud) -> Principal:
    owner = await cloud.owner()
    async with cloud.database.transaction() as session:
        (await session.get_one(User, owner.id)).email_verified_at = cloud.clock.now()
    return owner


async def invite(
    cloud: Cloud, actor: Principal, email: str = BOB, access: MemberAccess = READER
) -> str:
    async with cloud.control.acting(actor) as session:
        made = await cloud.control.members.invite(session, actor, email, access)
    return made.resource_id


async def link(cloud: Cloud) -> str:
    """The token in the latest letter, before it is sent."""
    async with cloud.database.reading() as session:
        latest = sa.select(PostedLetter).order_by(PostedLetter.created_at.desc(), PostedLetter.id)
        letters = (await session.scalars(latest)).all()
    texts = [cloud.control.outbox.opened(each).text for each in letters if each.sealed]
    (token,) = {text.partition("join?token=")[2].split()[0] for text in texts if "join?" in text}
    return token


async def test_an_invitation_expires_and_can_be_sent_again(cloud: Cloud) -> None:
    owner = await verified_owner(cloud)
    id = await invite(cloud, owner)
    token = await link(cloud)
    cloud.clock.move(days=INVITATION_DAYS)
    with pytest.raises(InvalidField, match="not used or expired"):
        await cloud.control.invitations.accept(token=token, password=PASSWORD)
    async with cloud.control.acting(owner) as session:
        again = await cloud.control.members.invite_again(session, owner, id)
    assert again.expires_at > cloud.clock.now()


async def test_an_address_is_invited_once_and_is_no_member_yet(cloud: Cloud) -> None:
    owner = await verified_owner(cloud)
    await invite(cloud, owner)
    for email in (BOB.upper(), "ada@example.com"):
        with pytest.raises(AlreadyExists):
            await invite(cloud, owner, email)


async def test_who_signed_up_meanwhile_belongs_to_that_account(cloud: Cloud) -> None:
    owner = await verified_owner(cloud)
    await invite(cloud, owner)
    token = await link(cloud)
    bob = await cloud.owner(BOB)
    with pytest.raises(WrongState, match="another address"):
        await cloud.control.invitations.accept(token=token, password=PASSWORD)
    assert bob.account_id != owner.account_id


async def test_a_grant_in_a_namespace_that_was_deleted_meanwhile_is_left_out(cloud: Cloud) -> None:
    owner = await verified_owner(cloud)
    kept, gone = await cloud.namespace(owner, "kept"), await cloud.namespace(owner, "gone")
    grants = {kept.id: Permission.WRITE, gone.id: Permission.READ}
    id = await invite(cloud, owner, BOB, MemberAccess(AccountRole.DEVELOPER, grants))
    async with cloud.control.acting(owner) as session:
        await cloud.control.namespaces.delete(session, owner, gone.id, resource_version=2)
    await cloud.control.reconciler.reconcile(cloud.cell)
    await cloud.control.invitations.accept(token=await link(cloud), password=PASSWORD)
    assert (await cloud.principal(id)).grants == {kept.id: Permission.WRITE}


async def test_a_foreign_namespace_cannot_be_granted(cloud: Cloud) -> None:
    owner, other = await verified_owner(cloud), await cloud.owner("eve@example.com")
    foreign = await cloud.namespace(other)
    with pytest.raises(NotFound):
        await invite(
            cloud, owner, BOB, MemberAccess(AccountRole.READ, {foreign.id: Permission.READ})
        )


async def test_an_account_has_room_for_so_many_members(cloud: Cloud) -> None:
    owner = await verified_owner(cloud)
    now = cloud.clock.now()
    async with cloud.database.transaction() as session:
        session.add_all(
            Invitation(
                id=f"invitation {number}",
                account_id=owner.account_id,
                email=f"user{number}@example.com",
                role=AccountRole.READ,
                grants={},
                digest=number.to_bytes(32),
                resource_version=1,
                created_at=now,
                updated_at=now,
                expires_at=now,
            )
            for number in range(MEMBERS_PER_ACCOUNT_MAX - 2)
        )
    await invite(cloud, owner)
    with pytest.raises(LimitReached):
        await invite(cloud, owner, "carol@example.com")


async def test_an_account_sends_so_many_invitations_an_hour(cloud: Cloud) -> None:
    owner = await verified_owner(cloud)
    for number in range(INVITATIONS_PER_ACCOUNT_MAX):
        await invite(cloud, owner, f"user{number}@example.com")
    with pytest.raises(RateLimited):
        await invite(cloud, owner)
    cloud.clock.move(seconds=LETTER_WINDOW_SECONDS)
    await invite(cloud, owner)


async def test_a_program_invites_in_its_users_name_and_needs_a_user(cloud: Cloud) -> None:
    owner = await verified_owner(cloud)
    key = (await cloud.key(owner, Permission.ADMIN)).text
    await cloud.control.snapshot.refresh()
    await invite(cloud, cloud.control.snapshot.authenticate(key))
    reader = await cloud.member(owner, AccountRole.READ)
    with pytest.raises(PermissionDenied):
        await invite(cloud, reader, "carol@example.com")


async def test_who_is_removed_leaves_no_key_no_session_and_no_grant(cloud: Cloud) -> None:
    owner = await cloud.owner()
    member = await cloud.member(owner, AccountRole.ADMIN)
    key = await cloud.key(member, Permission.READ)
    async with cloud.database.transaction() as session:
        await locked_account(session, member.account_id)
        user = await session.get_one(User, member.id)
        opened = await cloud.control.sessions.open_for(
            session, user, method=SignInMethod.SINGLE_SIGN_ON
        )
    await cloud.control.snapshot.refresh()
    async with cloud.control.acting(owner) as session:
        await cloud.control.members.remove(session, owner, member.id, resource_version=1)
    await cloud.control.snapshot.refresh()
    with pytest.raises(Unauthenticated) as refusal:
        cloud.control.snapshot.authenticate(key.text)
    assert refusal.value.reason is UnauthenticatedReason.UNKNOWN_KEY
    with pytest.raises(Unauthenticated):
        await cloud.control.sessions.resume(opened.token)
    async with cloud.database.reading() as session:
        assert await session.get(User, member.id) is None
        assert await session.get(ApiKey, key.key.id) is None
    assert await cloud.audit_count(owner.account_id) > 0


async def test_a_member_may_leave_but_remove_nobody_else(cloud: Cloud) -> None:
    owner = await cloud.owner()
    leaver = await cloud.member(owner, AccountRole.READ)
    members = cloud.control.members
    with pytest.raises(PermissionDenied):
        async with cloud.control.acting(leaver) as session:
            await members.remove(session, leaver, owner.id, resource_version=None)
    async with cloud.control.acting(leaver) as session:
        await members.remove(session, leaver, leaver.id, resource_version=None)
    async with cloud.database.reading() as session:
        assert [each.id for each in await members.visible_to(session, owner)] == [owner.id]


async def test_a_change_names_the_version_it_was_read_at(cloud: Cloud) -> None:
    owner = await verified_owner(cloud)
    id = await invite(cloud, owner)
    members = cloud.control.members
    async with cloud.control.acting(owner) as session:
        await members.update(session, owner, id, READER, resource_version=1)
    with pytest.raises(Conflict):
        async with cloud.control.acting(owner) as session:
            await members.update(session, owner, id, READER, resource_version=1)


async def test_what_changes_on_an_invitation_holds_once_it_is_accepted(cloud: Cloud) -> None:
    owner = await verified_owner(cloud)
    orders = await cloud.namespace(owner)
    id = await invite(cloud, owner)
    members = cloud.control.members
    async with cloud.database.transaction() as session:
        namespace = await cloud.control.namespaces.get(session, owner, orders.id)
        await members.set_namespace_access(
            session, owner, id, namespace, Permission.WRITE, resource_version=1
        )
    await cloud.control.invitations.accept(token=await link(cloud), password=PASSWORD)
    assert (await cloud.principal(id)).grants == {orders.id: Permission.WRITE}


async def test_somebody_known_by_other_means_joins_by_an_invitation_without_a_password(
    cloud: Cloud,
) -> None:
    owner = await verified_owner(cloud)
    id = await invite(cloud, owner)
    async with cloud.database.transaction() as session:
        await locked_account(session, owner.account_id)
        joined = await cloud.control.invitations.claim(session, owner.account_id, BOB)
        assert joined is not None
        assert joined.id == id
        again = await cloud.control.invitations.claim(session, owner.account_id, BOB)
        assert again is None
    for password in (PASSWORD, " " * 10):
        with pytest.raises(Unauthenticated):
            await cloud.control.sign_in.log_in(email=BOB, password=password, address=ADDRESS)


async def test_a_rule_can_forbid_passwords_and_its_denial_is_recorded(cloud: Cloud) -> None:
    owner = await cloud.owner()

    async def forbid(_session: object, user: User) -> None:
        assert user.id == owner.id
        raise Unauthenticated(UnauthenticatedReason.SECOND_STEP)

    cloud.control.sign_in.rules.append(forbid)
    before = await cloud.audit_count(owner.account_id)
    with pytest.raises(Unauthenticated) as refusal:
        await cloud.log_in()
    assert refusal.value.reason is UnauthenticatedReason.SECOND_STEP
    with pytest.raises(Unauthenticated) as refusal:
        await cloud.log_in(password="a wrong password")
    assert refusal.value.reason is UnauthenticatedReason.BAD_CREDENTIALS
    assert await cloud.audit_count(owner.account_id) == before + 2


async def test_a_key_of_who_reads_metrics_alone_opens_no_namespace(cloud: Cloud) -> None:
    owner = await cloud.owner()
    orders = await cloud.namespace(owner)
    reader = await cloud.member(owner, AccountRole.METRICS_READ)
    key = await cloud.key(reader, Permission.READ)
    with pytest.raises(PermissionDenied):
        await cloud.key(reader, Permission.WRITE)
    await cloud.control.snapshot.refresh()
    program = cloud.control.snapshot.authenticate(key.text)
    assert permits(program, Access.METRICS, None)
    assert not any(permits(program, access, orders) for access in NAMESPACE_ACCESS)


async def test_a_namespace_of_ones_own_is_not_taken_away_by_who_read_before(cloud: Cloud) -> None:
    owner = await cloud.owner()
    developer = await cloud.member(owner, AccountRole.DEVELOPER)
    await cloud.namespace(developer)
    access = MemberAccess(AccountRole.DEVELOPER)
    with pytest.raises(Conflict):
        async with cloud.control.acting(owner) as session:
            await cloud.control.members.update(
                session, owner, developer.id, access, resource_version=1
            )


async def test_nobody_joins_by_a_password_where_passwords_are_forbidden(cloud: Cloud) -> None:
    owner = await verified_owner(cloud)
    await invite(cloud, owner)

    async def forbid(_session: object, _user: User) -> None:
        raise Unauthenticated(UnauthenticatedReason.SECOND_STEP)

    cloud.control.sign_in.rules.append(forbid)
    with pytest.raises(Unauthenticated):
        await cloud.control.invitations.accept(token=await link(cloud), password=PASSWORD)
    async with cloud.database.transaction() as session:
        await locked_account(session, owner.account_id)
        # It is as it was, for whoever joins by other means.
        assert await cloud.control.invitations.claim(session, owner.account_id, BOB) is not None
