"""API keys: made once, shown once, scoped, expiring, never more than their creator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.accounts import locked_account
from tenancy.audit import AuditLog
from tenancy.changes import ChangeKind, record_change
from tenancy.database import Model, Text, stored_enum
from tenancy.errors import (
    Conflict,
    InvalidField,
    LimitReached,
    NotFound,
    PermissionDenied,
    WrongState,
)
from tenancy.key_text import KeyDigests, key_text
from tenancy.namespaces import Namespace, NamespaceState
from tenancy.operations import AsyncOperation, OperationKind, Operations
from tenancy.randomness import (
    KEY_ID_CHARACTERS,
    Now,
    TokenBytes,
    new_key_id,
    new_secret,
)
from tenancy.roles import (
    IMPLIED,
    Access,
    AccountRole,
    Permission,
    Principal,
    PrincipalKind,
    narrower,
    permits,
    require,
)

API_KEYS_PER_USER_MAX = 10
KEY_NAME_CHARACTERS_MAX = 64
KEY_DESCRIPTION_CHARACTERS_MAX = 256
KEY_LIFE_DAYS_MAX = 365
KEY_LIFE_DAYS_DEFAULT = 90

_ACTIONS = {
    OperationKind.CREATE_API_KEY: "api_key.create",
    OperationKind.UPDATE_API_KEY: "api_key.update",
    OperationKind.DELETE_API_KEY: "api_key.revoke",
}


class ApiKey(Model):
    """`account_permission` is set for an account-wide key, otherwise `grants` is not empty."""

    __tablename__ = "api_key"
    id: Mapped[str] = mapped_column(Text(KEY_ID_CHARACTERS), primary_key=True)
    account_id: Mapped[str] = mapped_column(sa.ForeignKey("account.id"), index=True)
    user_id: Mapped[str] = mapped_column(sa.ForeignKey("user_login.id"), index=True)
    name: Mapped[str] = mapped_column(Text(KEY_NAME_CHARACTERS_MAX))
    description: Mapped[str] = mapped_column(Text(KEY_DESCRIPTION_CHARACTERS_MAX))
    resource_version: Mapped[int]
    digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32))
    account_permission: Mapped[Permission | None] = mapped_column(stored_enum(Permission))
    grants: Mapped[dict[str, str]] = mapped_column(sa.JSON)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    is_disabled: Mapped[bool] = mapped_column(default=False)
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


@dataclass(frozen=True, slots=True)
class KeyScope:
    """Either one permission in all namespaces of the account, or one for each of some."""

    account_permission: Permission | None = None
    grants: Mapping[str, Permission] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.account_permission is None) == (not self.grants):
            raise InvalidField(
                "scope",
                "must be either account-wide or a list of namespaces",
                "give an account permission or at least one namespace, not both",
            )

    def told(self) -> list[object]:
        """A stable form, to tell two requests apart."""
        return [self.account_permission, sorted(self.grants.items())]


@dataclass(frozen=True, slots=True)
class KeyLabel:
    """What its owner may change of a key. Checked when made."""

    name: str
    description: str = ""
    is_disabled: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= KEY_NAME_CHARACTERS_MAX or not self.name.isprintable():
            raise InvalidField(
                "name",
                f"must have 1 to {KEY_NAME_CHARACTERS_MAX} printable characters",
                "choose a name that tells what the key is for",
            )
        if (
            len(self.description) > KEY_DESCRIPTION_CHARACTERS_MAX
            or not self.description.isprintable()
        ):
            raise InvalidField(
                "description",
                f"must have at most {KEY_DESCRIPTION_CHARACTERS_MAX} printable characters",
                "shorten it",
            )


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """`text` is the key itself; only its digest is kept, so a repeated request gets none."""

    key: ApiKey
    text: str
    operation: AsyncOperation


def key_principal(key: ApiKey, owner: Principal) -> Principal:
    """What a key may do now: its scope, cut down to what its owner still may do.

    Account roles come with an account-wide key only: whole with admin, reading otherwise. That of
    whoever may read metrics alone is theirs too: it opens no namespace.
    """
    role, permission, grants = None, None, {}
    if key.account_permission is None:
        for namespace_id, granted in key.grants.items():
            owned = owner.permissions(namespace_id)
            common = {narrower(Permission(granted), own) for own in owned} - {None}
            # Permission lists the widest first.
            if widest := next((each for each in Permission if each in common), None):
                grants[namespace_id] = widest
    else:
        permission = narrower(key.account_permission, owner.account_permission)
        for namespace_id, own in owner.grants.items():
            if narrowed := narrower(key.account_permission, own):
                grants[namespace_id] = narrowed
        if (
            key.account_permission is Permission.ADMIN
            or owner.account_role is AccountRole.METRICS_READ
        ):
            role = owner.account_role
        elif key.account_permission is not Permission.WORKER:
            role = AccountRole.READ
    return Principal(
        PrincipalKind.API_KEY,
        key.id,
        key.account_id,
        account_role=role,
        account_permission=permission,
        grants=grants,
        expires_at=key.expires_at,
        user_id=key.user_id,
    )


class ApiKeys:
    def __init__(
        self,
        *,
        now: Now,
        token_bytes: TokenBytes,
        digests: KeyDigests,
        operations: Operations,
        audit: AuditLog,
    ) -> None:
        self._now = now
        self._token_bytes = token_bytes
        self._digests = digests
        self._operations = operations
        self._audit = audit

    async def create(
        self,
        session: AsyncSession,
        actor: Principal,
        label: KeyLabel,
        *,
        scope: KeyScope,
        expires_at: datetime | None = None,
        operation_id: str | None = None,
    ) -> NewApiKey:
        """A key of the acting user. A key that makes a key makes none that outlives it."""
        kind = OperationKind.CREATE_API_KEY
        action = "api_key.create"
        require(actor, Access.ACCOUNT_READ, action, target=actor.account_id)
        if actor.user_id is None:
            raise PermissionDenied(action, actor.account_id, "create it as a user")
        await locked_account(session, actor.account_id)
        request = [kind, actor.user_id, *_told(label), *scope.told(), _stamp(expires_at)]
        account_id = actor.account_id
        if again := await self._operations.repeated(session, account_id, operation_id, request):
            return NewApiKey(await session.get_one(ApiKey, again.resource_id), "", again)
        now = self._now()
        expires_at = expires_at or now + timedelta(days=KEY_LIFE_DAYS_DEFAULT)
        _check_expiry(expires_at, now)
        await self._check_scope(session, actor, scope, action)
        await self._check_count(session, actor.user_id, now)
        key_id = new_key_id(self._token_bytes)
        text = key_text(key_id, new_secret(self._token_bytes))
        key = ApiKey(
            id=key_id,
            account_id=account_id,
            user_id=actor.user_id,
            name=label.name,
            description=label.description,
            resource_version=1,
            digest=self._digests.parse(text)[1],
            account_permission=scope.account_permission,
            grants={id: permission.value for id, permission in scope.grants.items()},
            created_at=now,
            updated_at=now,
            expires_at=min(expires_at, actor.expires_at or expires_at),
            is_disabled=label.is_disabled,
        )
        session.add(key)
        await session.flush()
        operation = await self._changed(session, actor, kind, key, (operation_id, request))
        return NewApiKey(key, text, operation)

    async def get(self, session: AsyncSession, actor: Principal, key_id: str) -> ApiKey:
        return await self._of_actor(session, actor, key_id, "api_key.get")

    async def visible_to(self, session: AsyncSession, actor: Principal) -> list[ApiKey]:
        """The caller's own keys, or all of the account for its admins; revoked ones are gone."""
        require(actor, Access.ACCOUNT_READ, "api_key.list", target=actor.account_id)
        query = sa.select(ApiKey).where(
            ApiKey.account_id == actor.account_id, ApiKey.revoked_at.is_(None)
        )
        if not permits(actor, Access.ACCOUNT_WRITE, None):
            query = query.where(ApiKey.user_id == actor.user_id)
        return list(await session.scalars(query.order_by(ApiKey.created_at, ApiKey.id)))

    async def update(
        self,
        session: AsyncSession,
        actor: Principal,
        key_id: str,
        label: KeyLabel,
        *,
        resource_version: int,
        operation_id: str | None = None,
    ) -> AsyncOperation:
        kind = OperationKind.UPDATE_API_KEY
        await locked_account(session, actor.account_id)
        request = [kind, actor.user_id, key_id, resource_version, *_told(label)]
        account_id = actor.account_id
        if again := await self._operations.repeated(session, account_id, operation_id, request):
            return again
        key = await self._of_actor(session, actor, key_id, "api_key.update")
        _check_version(key, resource_version)
        key.name, key.description = label.name, label.description
        key.is_disabled = label.is_disabled
        return await self._changed(session, actor, kind, key, (operation_id, request))

    async def revoke(
        self,
        session: AsyncSession,
        actor: Principal,
        key_id: str,
        *,
        resource_version: int | None = None,
        operation_id: str | None = None,
    ) -> AsyncOperation:
        """Ends the key for good; without a version, whatever changed of it meanwhile."""
        kind = OperationKind.DELETE_API_KEY
        await locked_account(session, actor.account_id)
        request: list[object] = [kind, actor.user_id, key_id, resource_version]
        account_id = actor.account_id
        if again := await self._operations.repeated(session, account_id, operation_id, request):
            return again
        key = await self._of_actor(session, actor, key_id, "api_key.revoke")
        _check_version(key, resource_version)
        key.revoked_at = self._now()
        return await self._changed(session, actor, kind, key, (operation_id, request))

    async def _of_actor(
        self, session: AsyncSession, actor: Principal, key_id: str, action: str
    ) -> ApiKey:
        """A live key that the caller may manage; anyone else's does not exist for it."""
        require(actor, Access.ACCOUNT_READ, action, target=key_id)
        key = await session.get(ApiKey, key_id, populate_existing=True)
        if key is None or key.account_id != actor.account_id or key.revoked_at is not None:
            raise NotFound("API key", key_id)
        if key.user_id != actor.user_id and not permits(actor, Access.ACCOUNT_WRITE, None):
            raise PermissionDenied(action, key_id, "ask its owner or an account admin")
        return key

    async def _check_scope(
        self, session: AsyncSession, actor: Principal, scope: KeyScope, action: str
    ) -> None:
        wanted = scope.account_permission
        if wanted is not None:
            held = actor.account_permission
            if actor.account_role is AccountRole.METRICS_READ:
                held = Permission.READ
            if held is None or wanted not in IMPLIED[held]:
                raise PermissionDenied(
                    action, actor.account_id, "list the namespaces that the key is for"
                )
        for namespace_id, permission in scope.grants.items():
            namespace = await session.get(Namespace, namespace_id, populate_existing=True)
            if namespace is None or namespace.account_id != actor.account_id:
                raise NotFound("namespace", namespace_id)
            if namespace.state is NamespaceState.DELETED:
                raise WrongState("namespace", namespace_id, namespace.state)
            owned = actor.permissions(namespace_id)
            if not any(permission in IMPLIED[own] for own in owned):
                raise PermissionDenied(
                    action, namespace_id, f"a key has at most your own permission, not {permission}"
                )

    async def _check_count(self, session: AsyncSession, user_id: str, now: datetime) -> None:
        active = await session.scalar(
            sa.select(sa.func.count())
            .select_from(ApiKey)
            .where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None), ApiKey.expires_at > now)
        )
        if active is not None and active >= API_KEYS_PER_USER_MAX:
            raise LimitReached("API keys of a user", API_KEYS_PER_USER_MAX, "revoke one first")

    async def _changed(
        self,
        session: AsyncSession,
        actor: Principal,
        kind: OperationKind,
        key: ApiKey,
        asked: tuple[str | None, list[object]],
    ) -> AsyncOperation:
        """Tells all who must know; what changes a key is done with its transaction."""
        if kind is not OperationKind.CREATE_API_KEY:
            key.resource_version += 1
            key.updated_at = self._now()
        await record_change(session, ChangeKind.API_KEY, key.id)
        await self._audit.record(session, actor, _ACTIONS[kind], key.id)
        operation_id, request = asked
        return self._operations.begin(
            session,
            actor.account_id,
            kind,
            resource_id=key.id,
            operation_id=operation_id,
            request=request,
            is_done=True,
        )


def _check_expiry(expires_at: datetime, now: datetime) -> None:
    if not now < expires_at <= now + timedelta(days=KEY_LIFE_DAYS_MAX):
        raise InvalidField(
            "expires_at",
            f"must be at most {KEY_LIFE_DAYS_MAX} days ahead: every key expires",
            "choose a time in that range, and rotate the key",
        )


def _check_version(key: ApiKey, resource_version: int | None) -> None:
    if resource_version is not None and resource_version != key.resource_version:
        raise Conflict("API key", key.id, key.resource_version)


def _told(label: KeyLabel) -> list[object]:
    return [label.name, label.description, label.is_disabled]


def _stamp(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
