"""Namespaces as the cloud sells them: `name.account`, in one cell, from activating to deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.accounts import locked_account
from tenancy.audit import AuditLog
from tenancy.authority_expiry import watch_authorities
from tenancy.certificate_upload import checked
from tenancy.certificates import CertificateTrust
from tenancy.changes import ChangeKind, record_change
from tenancy.database import Model, Text, stored_enum
from tenancy.errors import AlreadyExists, Conflict, LimitReached, NotFound, WrongState
from tenancy.namespace_name import NAME_CHARACTERS_MAX, check_name
from tenancy.namespace_settings import NamespaceSettings, SearchAttributeType
from tenancy.operations import AsyncOperation, OperationKind, Operations
from tenancy.placement import REGION_DEFAULT, Placement
from tenancy.randomness import Now, TokenBytes, new_uuid
from tenancy.roles import (
    Access,
    NamespaceRef,
    Permission,
    Principal,
    permits,
    require,
    require_in,
)
from tenancy.users import NamespaceGrant, User

NAMESPACES_PER_ACCOUNT_MAX = 100


class NamespaceState(StrEnum):
    ACTIVATING = "activating"
    ACTIVE = "active"
    DELETING = "deleting"
    DELETED = "deleted"


TRANSITIONS: Mapping[NamespaceState, frozenset[NamespaceState]] = {
    NamespaceState.ACTIVATING: frozenset({NamespaceState.ACTIVE, NamespaceState.DELETING}),
    NamespaceState.ACTIVE: frozenset({NamespaceState.DELETING}),
    NamespaceState.DELETING: frozenset({NamespaceState.DELETED}),
    NamespaceState.DELETED: frozenset(),
}
"""Activating turns to deleting when its cell refuses it for good, so that nothing is left there."""


class Namespace(Model):
    """Deleted ones keep their row: ids are never used again, and generations go on counting."""

    __tablename__ = "namespace"
    id: Mapped[str] = mapped_column(Text(36), primary_key=True)
    account_id: Mapped[str] = mapped_column(sa.ForeignKey("account.id"), index=True)
    name: Mapped[str] = mapped_column(Text(NAME_CHARACTERS_MAX))
    generation: Mapped[int]
    cell: Mapped[str] = mapped_column(Text(63))
    region: Mapped[str] = mapped_column(Text(63), default=REGION_DEFAULT)
    retention_days: Mapped[int]
    search_attributes: Mapped[dict[str, str]] = mapped_column(sa.JSON)
    is_delete_protected: Mapped[bool]
    certificate_trust: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    state: Mapped[NamespaceState] = mapped_column(stored_enum(NamespaceState))
    resource_version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @property
    def ref(self) -> NamespaceRef:
        return NamespaceRef(self.account_id, self.id, self.name, self.cell, self.generation)

    @property
    def settings(self) -> NamespaceSettings:
        types = {name: SearchAttributeType(it) for name, it in self.search_attributes.items()}
        trust = CertificateTrust.heard(self.certificate_trust)
        return NamespaceSettings(self.retention_days, types, self.is_delete_protected, trust)

    def set(self, settings: NamespaceSettings) -> None:
        self.retention_days = settings.retention_days
        self.search_attributes = {name: it.value for name, it in settings.search_attributes.items()}
        self.is_delete_protected = settings.is_delete_protected
        self.certificate_trust = settings.certificates.told()

    def require_active(self) -> None:
        if self.state is not NamespaceState.ACTIVE:
            raise WrongState("namespace", self.id, self.state, "choose an active namespace")

    def turn(self, state: NamespaceState) -> None:
        if state not in TRANSITIONS[self.state]:
            raise WrongState("namespace", self.id, self.state)
        self.state = state


sa.Index(
    "uq_namespace_live_name",
    Namespace.account_id,
    Namespace.name,
    unique=True,
    sqlite_where=Namespace.state != NamespaceState.DELETED,
    postgresql_where=Namespace.state != NamespaceState.DELETED,
)


@dataclass(frozen=True, slots=True)
class _Change:
    """A request to change a namespace; `apply` alters its record or refuses."""

    kind: OperationKind
    apply: Callable[[Namespace], None]
    resource_version: int
    operation_id: str | None
    arguments: list[object] = field(default_factory=list)


class Namespaces:
    """`placement` chooses the cells of new ones."""

    def __init__(
        self,
        *,
        now: Now,
        token_bytes: TokenBytes,
        operations: Operations,
        audit: AuditLog,
        placement: Placement,
    ) -> None:
        self._now = now
        self._token_bytes = token_bytes
        self._operations = operations
        self._audit = audit
        self._placement = placement

    async def create(
        self,
        session: AsyncSession,
        actor: Principal,
        name: str,
        settings: NamespaceSettings | None = None,
        *,
        region: str | None = None,
        operation_id: str | None = None,
    ) -> AsyncOperation:
        """Starts the creation; the namespace is `operation.resource_id`."""
        action = "namespace.create"
        require(actor, Access.CREATE_NAMESPACE, action, target=name)
        check_name(name)
        settings = self._checked(settings or NamespaceSettings())
        account = await locked_account(session, actor.account_id)
        kind = OperationKind.CREATE_NAMESPACE
        request: list[object] = [kind, name, settings.told(), *([region] if region else [])]
        if again := await self._operations.repeated(session, account.id, operation_id, request):
            return again
        now = self._now()
        cell = self._placement.place(region, await _counts(session))
        namespace = Namespace(
            id=new_uuid(self._token_bytes),
            account_id=account.id,
            name=name,
            generation=await self._next_generation(session, account.id, name),
            cell=cell.id,
            region=cell.region,
            state=NamespaceState.ACTIVATING,
            resource_version=1,
            created_at=now,
            updated_at=now,
        )
        namespace.set(settings)
        session.add(namespace)
        await session.flush()
        await self._grant_to_creator(session, actor, namespace.ref)
        await watch_authorities(session, namespace.id, settings.certificates)
        operation = self._operations.begin(
            session,
            account.id,
            kind,
            resource_id=namespace.id,
            operation_id=operation_id,
            request=request,
        )
        await self._audit.record(session, actor, action, namespace.id)
        return operation

    async def get(self, session: AsyncSession, actor: Principal, namespace_id: str) -> Namespace:
        namespace = await session.get(Namespace, namespace_id, populate_existing=True)
        if namespace is None or not _is_visible(namespace, actor):
            raise NotFound("namespace", namespace_id)
        return namespace

    async def find(self, session: AsyncSession, actor: Principal, full_name: str) -> Namespace:
        """The namespace of that `name.account`, unless it is deleted."""
        found = await self.last_named(session, actor, full_name)
        if found.state is NamespaceState.DELETED:
            raise NotFound("namespace", full_name)
        return found

    async def last_named(
        self, session: AsyncSession, actor: Principal, full_name: str
    ) -> Namespace:
        """The newest namespace that ever had that `name.account`, also if it is deleted."""
        name, _, account_id = full_name.partition(".")
        query = (
            sa.select(Namespace)
            .where(Namespace.account_id == account_id, Namespace.name == name)
            .order_by(Namespace.generation.desc())
        )
        found = (await session.scalars(query.limit(1))).first()
        if found is None or not _is_visible(found, actor):
            raise NotFound("namespace", full_name)
        return found

    async def names(
        self, session: AsyncSession, actor: Principal, *, with_deleted: bool = False
    ) -> dict[str, str]:
        """What people call the account's namespaces, by id; no two are called the same.

        Usage outlives a namespace, and its name may be another's since: a deleted one's has the
        day of that beside it.
        """
        require(actor, Access.ACCOUNT_READ, "namespace.names", target=actor.account_id)
        query = sa.select(Namespace).where(Namespace.account_id == actor.account_id)
        if not with_deleted:
            query = query.where(Namespace.state != NamespaceState.DELETED)
        found = (await session.scalars(query)).all()
        sharers = Counter(map(_label, found))
        return {each.id: _label(each, is_shared=sharers[_label(each)] > 1) for each in found}

    async def visible_to(self, session: AsyncSession, actor: Principal) -> list[Namespace]:
        """All that the caller may know of, by name; their number is bounded, so in one page."""
        found = await session.scalars(
            sa.select(Namespace)
            .where(
                Namespace.account_id == actor.account_id,
                Namespace.state != NamespaceState.DELETED,
            )
            .order_by(Namespace.name)
        )
        return [namespace for namespace in found if _is_visible(namespace, actor)]

    async def update(
        self,
        session: AsyncSession,
        actor: Principal,
        namespace_id: str,
        settings: NamespaceSettings,
        *,
        resource_version: int,
        operation_id: str | None = None,
    ) -> AsyncOperation:
        """Replaces all settings: doors follow this commit, its cell learns by the operation."""

        def change(namespace: Namespace) -> None:
            namespace.require_active()
            before = namespace.settings
            before.check_successor(settings)
            # What was accepted once may have expired since, and must not keep the rest from change.
            is_new = settings.certificates != before.certificates
            namespace.set(self._checked(settings) if is_new else settings)

        kind = OperationKind.UPDATE_NAMESPACE
        operation = await self._begin_change(
            session,
            actor,
            namespace_id,
            _Change(kind, change, resource_version, operation_id, settings.told()),
        )
        await record_change(session, ChangeKind.NAMESPACE, namespace_id)
        return operation

    def _checked(self, settings: NamespaceSettings) -> NamespaceSettings:
        return replace(settings, certificates=checked(settings.certificates, self._now()))

    async def delete(
        self,
        session: AsyncSession,
        actor: Principal,
        namespace_id: str,
        *,
        resource_version: int,
        operation_id: str | None = None,
    ) -> AsyncOperation:
        """Closes the namespace's door with this commit; its cell is emptied by the operation."""

        def change(namespace: Namespace) -> None:
            if namespace.is_delete_protected:
                raise WrongState(
                    "namespace",
                    namespace_id,
                    "protected from deletion",
                    "end that by an update first",
                )
            if namespace.state is not NamespaceState.DELETING:
                namespace.require_active()
                namespace.turn(NamespaceState.DELETING)

        kind = OperationKind.DELETE_NAMESPACE
        operation = await self._begin_change(
            session, actor, namespace_id, _Change(kind, change, resource_version, operation_id)
        )
        await record_change(session, ChangeKind.NAMESPACE, namespace_id)
        return operation

    async def _begin_change(
        self, session: AsyncSession, actor: Principal, namespace_id: str, wanted: _Change
    ) -> AsyncOperation:
        """Applies the change and starts its operation, unless this same request already did."""
        await locked_account(session, actor.account_id)
        namespace = await self.get(session, actor, namespace_id)
        action = f"namespace.{wanted.kind.removesuffix('_namespace')}"
        require_in(actor, Access.ADMIN, action, on=namespace.ref)
        account_id = actor.account_id
        request = [wanted.kind, namespace_id, wanted.resource_version, *wanted.arguments]
        operation_id = wanted.operation_id
        if again := await self._operations.repeated(session, account_id, operation_id, request):
            return again
        if wanted.resource_version != namespace.resource_version:
            raise Conflict("namespace", namespace_id, namespace.resource_version)
        if await self._operations.unfinished(session, namespace_id) is not None:
            raise WrongState("namespace", namespace_id, "being changed by another operation")
        wanted.apply(namespace)
        await watch_authorities(session, namespace.id, namespace.settings.certificates)
        namespace.resource_version += 1
        namespace.updated_at = self._now()
        operation = self._operations.begin(
            session,
            account_id,
            wanted.kind,
            resource_id=namespace_id,
            operation_id=operation_id,
            request=request,
        )
        await self._audit.record(session, actor, action, namespace_id)
        return operation

    async def _next_generation(self, session: AsyncSession, account_id: str, name: str) -> int:
        """Also refuses a name in use and a full account."""
        rows = (
            await session.execute(
                sa.select(Namespace.name, Namespace.state, Namespace.generation).where(
                    Namespace.account_id == account_id,
                    sa.or_(Namespace.name == name, Namespace.state != NamespaceState.DELETED),
                )
            )
        ).all()
        live = [row.name for row in rows if row.state is not NamespaceState.DELETED]
        if name in live:
            raise AlreadyExists("namespace", f"{name}.{account_id}")
        if len(live) >= NAMESPACES_PER_ACCOUNT_MAX:
            raise LimitReached(
                "namespaces of an account", NAMESPACES_PER_ACCOUNT_MAX, "delete one first"
            )
        return 1 + max((row.generation for row in rows if row.name == name), default=0)

    async def _grant_to_creator(
        self, session: AsyncSession, actor: Principal, ref: NamespaceRef
    ) -> None:
        """Who creates a namespace administers it, without being admin of the others."""
        if actor.user_id is None or permits(actor, Access.ADMIN, ref):
            return
        session.add(
            NamespaceGrant(user_id=actor.user_id, namespace_id=ref.id, permission=Permission.ADMIN)
        )
        # Whoever read the user before does not take this away unseen.
        await session.execute(
            sa.update(User)
            .where(User.id == actor.user_id)
            .values(resource_version=User.resource_version + 1)
        )
        await record_change(session, ChangeKind.USER, actor.user_id)


async def _counts(session: AsyncSession) -> Mapping[str, int]:
    """How many namespaces each cell has."""
    live = Namespace.state != NamespaceState.DELETED
    asked = sa.select(Namespace.cell, sa.func.count()).where(live).group_by(Namespace.cell)
    return {cell: count for cell, count in await session.execute(asked)}


def _label(namespace: Namespace, *, is_shared: bool = False) -> str:
    full_name = namespace.ref.full_name
    if namespace.state is not NamespaceState.DELETED:
        return full_name
    which = f", generation {namespace.generation}" if is_shared else ""
    return f"{full_name} (deleted {namespace.updated_at:%Y-%m-%d}{which})"


def _is_visible(namespace: Namespace, actor: Principal) -> bool:
    """Account members see every namespace's settings; a scoped key sees those it is for."""
    if namespace.account_id != actor.account_id:
        return False
    return permits(actor, Access.ACCOUNT_READ, None) or bool(actor.permissions(namespace.id))
