"""Members of an account, and those who are invited: who they are and what they may do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from tenancy.accounts import locked_account
from tenancy.api_keys import ApiKey
from tenancy.changes import ChangeKind, record_change
from tenancy.entrance import Entrance
from tenancy.errors import (
    AlreadyExists,
    Conflict,
    LimitReached,
    NotFound,
    PermissionDenied,
    WrongState,
)
from tenancy.invitations import Invitation, Invitations, add_grants, invitation_of
from tenancy.namespaces import Namespace
from tenancy.one_time_links import digest_of
from tenancy.operations import AsyncOperation, OperationKind, Operations
from tenancy.randomness import new_secret, new_uuid
from tenancy.roles import (
    Access,
    AccountRole,
    Permission,
    Principal,
    require,
    require_in,
)
from tenancy.sessions import LoginSession
from tenancy.users import NamespaceGrant, User, normalized_email, user_of

MEMBERS_PER_ACCOUNT_MAX = 300

_ACTIONS = {
    OperationKind.CREATE_USER: "user.invite",
    OperationKind.UPDATE_USER: "user.update",
    OperationKind.SET_USER_NAMESPACE_ACCESS: "user.set_namespace_access",
    OperationKind.DELETE_USER: "user.remove",
}

Member = User | Invitation


@dataclass(frozen=True, slots=True)
class MemberAccess:
    """What a member may do: its role in the account, and permissions by namespace id."""

    role: AccountRole
    grants: Mapping[str, Permission] = field(default_factory=dict)

    def told(self) -> list[object]:
        return [self.role, sorted(self.grants.items())]


@dataclass(frozen=True, slots=True)
class _Request:
    """What a change was asked with, to tell a repeated one."""

    kind: OperationKind
    operation_id: str | None
    told: list[object]


class Members:
    def __init__(
        self, entrance: Entrance, *, operations: Operations, invitations: Invitations
    ) -> None:
        self._entrance = entrance
        self._operations = operations
        self._invitations = invitations

    async def get(self, session: AsyncSession, actor: Principal, id: str) -> Member:
        require(actor, Access.ACCOUNT_READ, "user.get", target=id)
        return await self._find(session, actor.account_id, id)

    async def visible_to(self, session: AsyncSession, actor: Principal) -> list[Member]:
        """All of the account, by e-mail; their number is bounded."""
        require(actor, Access.ACCOUNT_READ, "user.list", target=actor.account_id)
        account_id = actor.account_id
        users = await session.scalars(sa.select(User).where(User.account_id == account_id))
        invited = await session.scalars(
            sa.select(Invitation).where(Invitation.account_id == account_id)
        )
        return sorted([*users, *invited], key=lambda member: member.email)

    async def invite(
        self,
        session: AsyncSession,
        actor: Principal,
        email: str,
        access: MemberAccess,
        *,
        operation_id: str | None = None,
    ) -> AsyncOperation:
        """Sends a letter with a link; `operation.resource_id` is the id of the user to be.

        The answer is the same for an address that has a login in another account.
        """
        kind = OperationKind.CREATE_USER
        email = normalized_email(email)
        require(actor, Access.ACCOUNT_WRITE, _ACTIONS[kind], target=actor.account_id)
        await locked_account(session, actor.account_id)
        asked = _Request(kind, operation_id, [email, *access.told()])
        if again := await self._repeated(session, actor, asked):
            return again
        _check_owners(actor, _ACTIONS[kind], actor.account_id, access.role)
        inviter = await self._inviter(session, actor, _ACTIONS[kind])
        await self._check_room(session, actor.account_id, email)
        await self._check_namespaces(session, actor, access.grants)
        now = self._entrance.now()
        invitation = Invitation(
            id=new_uuid(self._entrance.token_bytes),
            account_id=actor.account_id,
            email=email,
            role=access.role,
            grants=_stored(access.grants),
            digest=digest_of(new_secret(self._entrance.token_bytes)),
            resource_version=1,
            created_at=now,
            updated_at=now,
            expires_at=now,
        )
        session.add(invitation)
        await session.flush()
        await self._invitations.send(session, inviter, invitation)
        return await self._done(session, actor, invitation.id, asked)

    async def invite_again(self, session: AsyncSession, actor: Principal, id: str) -> Invitation:
        """Sends another letter, whose link alone holds from now on."""
        action = "user.invite_again"
        require(actor, Access.ACCOUNT_WRITE, action, target=id)
        await locked_account(session, actor.account_id)
        invitation = await invitation_of(session, actor.account_id, id)
        _check_owners(actor, action, id, invitation.role)
        inviter = await self._inviter(session, actor, action)
        await self._invitations.send(session, inviter, invitation)
        await self._entrance.audit.record(session, actor, action, id)
        return invitation

    async def update(
        self,
        session: AsyncSession,
        actor: Principal,
        id: str,
        access: MemberAccess,
        *,
        resource_version: int | None,
        operation_id: str | None = None,
    ) -> AsyncOperation:
        """Replaces role and grants. Only an owner makes or unmakes an owner; the last stays one."""
        kind = OperationKind.UPDATE_USER
        require(actor, Access.ACCOUNT_WRITE, _ACTIONS[kind], target=id)
        await locked_account(session, actor.account_id)
        asked = _Request(kind, operation_id, [id, resource_version, *access.told()])
        if again := await self._repeated(session, actor, asked):
            return again
        member = await self._find(session, actor.account_id, id)
        _check_version(member, resource_version)
        _check_owners(actor, _ACTIONS[kind], id, member.role, access.role)
        if access.role is not AccountRole.OWNER:
            await self._check_not_last(session, member)
        await self._check_namespaces(session, actor, access.grants)
        member.role = access.role
        await self._grant(session, member, access.grants)
        return await self._done(session, actor, id, asked, member)

    async def set_namespace_access(
        self,
        session: AsyncSession,
        actor: Principal,
        id: str,
        namespace: Namespace,
        permission: Permission | None,
        *,
        resource_version: int | None,
        operation_id: str | None = None,
    ) -> AsyncOperation:
        """Grants one permission in a namespace, or takes it away. Its admins may do that."""
        kind = OperationKind.SET_USER_NAMESPACE_ACCESS
        require_in(actor, Access.ADMIN, _ACTIONS[kind], on=namespace.ref)
        await locked_account(session, actor.account_id)
        asked = _Request(kind, operation_id, [id, namespace.id, permission, resource_version])
        if again := await self._repeated(session, actor, asked):
            return again
        member = await self._find(session, actor.account_id, id)
        _check_version(member, resource_version)
        grants = dict(await grants_of(session, member))
        grants.pop(namespace.id, None)
        if permission is not None:
            grants[namespace.id] = permission
        await self._grant(session, member, grants)
        return await self._done(session, actor, id, asked, member)

    async def remove(
        self,
        session: AsyncSession,
        actor: Principal,
        id: str,
        *,
        resource_version: int | None,
        operation_id: str | None = None,
    ) -> AsyncOperation:
        """A user goes with its sessions and keys; an invitation is taken back."""
        kind = OperationKind.DELETE_USER
        if actor.id != id:
            require(actor, Access.ACCOUNT_WRITE, _ACTIONS[kind], target=id)
        await locked_account(session, actor.account_id)
        asked = _Request(kind, operation_id, [id, resource_version])
        if again := await self._repeated(session, actor, asked):
            return again
        member = await self._find(session, actor.account_id, id)
        _check_version(member, resource_version)
        _check_owners(actor, _ACTIONS[kind], id, member.role)
        await self._check_not_last(session, member)
        operation = await self._done(session, actor, id, asked)
        if isinstance(member, User):
            await self._take_all(session, member)
        await session.delete(member)
        return operation

    async def _take_all(self, session: AsyncSession, user: User) -> None:
        """What belongs to nobody else. The feed tells doors of each key that is gone."""
        keys = await session.scalars(
            sa.delete(ApiKey).where(ApiKey.user_id == user.id).returning(ApiKey.id)
        )
        for key_id in keys.all():
            await record_change(session, ChangeKind.API_KEY, key_id)
        for table in (LoginSession, NamespaceGrant):
            await session.execute(sa.delete(table).where(table.user_id == user.id))
        await record_change(session, ChangeKind.USER, user.id)

    async def _find(self, session: AsyncSession, account_id: str, id: str) -> Member:
        try:
            return await user_of(session, account_id, id)
        except NotFound:
            return await invitation_of(session, account_id, id)

    async def _inviter(self, session: AsyncSession, actor: Principal, action: str) -> User:
        """The user behind the actor, who must have an address that is proven its own."""
        if actor.user_id is None:
            raise PermissionDenied(action, actor.account_id, "do it as a user")
        user = await user_of(session, actor.account_id, actor.user_id)
        if user.email_verified_at is None:
            raise PermissionDenied(action, actor.account_id, "confirm your e-mail address first")
        return user

    async def _check_room(self, session: AsyncSession, account_id: str, email: str) -> None:
        emails: set[str] = set()
        for table in (User, Invitation):
            emails.update(
                await session.scalars(sa.select(table.email).where(table.account_id == account_id))
            )
        if email in emails:
            raise AlreadyExists("member", email)
        if len(emails) >= MEMBERS_PER_ACCOUNT_MAX:
            raise LimitReached("members of an account", MEMBERS_PER_ACCOUNT_MAX, "remove one first")

    async def _check_namespaces(
        self, session: AsyncSession, actor: Principal, ids: Iterable[str]
    ) -> None:
        for id in ids:
            namespace = await session.get(Namespace, id, populate_existing=True)
            if namespace is None or namespace.account_id != actor.account_id:
                raise NotFound("namespace", id)

    async def _check_not_last(self, session: AsyncSession, member: Member) -> None:
        if isinstance(member, Invitation) or member.role is not AccountRole.OWNER:
            return
        owners = await session.scalar(
            sa.select(sa.func.count())
            .select_from(User)
            .where(User.account_id == member.account_id, User.role == AccountRole.OWNER)
        )
        if owners == 1:
            raise WrongState(
                "user", member.id, "the account's last owner", "make another one first"
            )

    async def _grant(
        self, session: AsyncSession, member: Member, grants: Mapping[str, Permission]
    ) -> None:
        if isinstance(member, Invitation):
            member.grants = _stored(grants)
            return
        await session.execute(sa.delete(NamespaceGrant).where(NamespaceGrant.user_id == member.id))
        await add_grants(session, member, grants)
        await record_change(session, ChangeKind.USER, member.id)

    async def _repeated(
        self, session: AsyncSession, actor: Principal, asked: _Request
    ) -> AsyncOperation | None:
        request = [asked.kind, actor.id, *asked.told]
        return await self._operations.repeated(
            session, actor.account_id, asked.operation_id, request
        )

    async def _done(
        self,
        session: AsyncSession,
        actor: Principal,
        id: str,
        asked: _Request,
        changed: Member | None = None,
    ) -> AsyncOperation:
        if changed is not None:
            changed.resource_version += 1
            changed.updated_at = self._entrance.now()
        await self._entrance.audit.record(session, actor, _ACTIONS[asked.kind], id)
        return self._operations.begin(
            session,
            actor.account_id,
            asked.kind,
            resource_id=id,
            operation_id=asked.operation_id,
            request=[asked.kind, actor.id, *asked.told],
            is_done=True,
        )


async def grants_of(session: AsyncSession, member: Member) -> Mapping[str, Permission]:
    return (await all_grants(session, [member]))[member.id]


async def all_grants(
    session: AsyncSession, members: Sequence[Member]
) -> Mapping[str, Mapping[str, Permission]]:
    """What each was given: permissions by namespace id, by the member's id."""
    grants = {
        each.id: dict(each.permissions) if isinstance(each, Invitation) else {} for each in members
    }
    rows = await session.scalars(
        sa.select(NamespaceGrant).where(NamespaceGrant.user_id.in_(grants))
    )
    for row in rows:
        grants[row.user_id][row.namespace_id] = row.permission
    return grants


def _check_owners(actor: Principal, action: str, target: str, *roles: AccountRole) -> None:
    if AccountRole.OWNER in roles and actor.account_role is not AccountRole.OWNER:
        raise PermissionDenied(action, target, "ask an account owner")


def _check_version(member: Member, resource_version: int | None) -> None:
    if resource_version is not None and resource_version != member.resource_version:
        raise Conflict("user", member.id, member.resource_version)


def _stored(grants: Mapping[str, Permission]) -> dict[str, str]:
    return {id: permission.value for id, permission in grants.items()}
