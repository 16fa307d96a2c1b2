"""Who may do what, as data: roles, permissions, principals and the one pure check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tenancy.errors import PermissionDenied


class AccountRole(StrEnum):
    """What a user is in its account."""

    OWNER = "owner"
    ADMIN = "admin"
    DEVELOPER = "developer"
    FINANCE_ADMIN = "finance_admin"
    READ = "read"
    METRICS_READ = "metrics_read"


class Permission(StrEnum):
    """What a principal may do in a namespace, the widest first."""

    ADMIN = "admin"
    WRITE = "write"
    READ = "read"
    WORKER = "worker"


class Access(StrEnum):
    """What an operation asks for; the catalogue gives each operation one."""

    PUBLIC = "public"
    READ = "read"
    WRITE = "write"
    WORKER = "worker"
    ADMIN = "admin"
    ACCOUNT_READ = "account_read"
    ACCOUNT_WRITE = "account_write"
    CREATE_NAMESPACE = "create_namespace"
    FINANCE = "finance"
    USAGE = "usage"
    METRICS = "metrics"
    OWNER = "owner"
    SESSION = "session"


PERMITS: Mapping[Access, frozenset[AccountRole] | frozenset[Permission]] = {
    Access.READ: frozenset({Permission.ADMIN, Permission.WRITE, Permission.READ}),
    Access.WRITE: frozenset({Permission.ADMIN, Permission.WRITE}),
    Access.WORKER: frozenset({Permission.ADMIN, Permission.WRITE, Permission.WORKER}),
    Access.ADMIN: frozenset({Permission.ADMIN}),
    Access.ACCOUNT_READ: frozenset(AccountRole),
    Access.ACCOUNT_WRITE: frozenset({AccountRole.OWNER, AccountRole.ADMIN}),
    Access.CREATE_NAMESPACE: frozenset(
        {AccountRole.OWNER, AccountRole.ADMIN, AccountRole.DEVELOPER}
    ),
    Access.FINANCE: frozenset({AccountRole.OWNER, AccountRole.FINANCE_ADMIN}),
    Access.USAGE: frozenset({AccountRole.OWNER, AccountRole.ADMIN, AccountRole.FINANCE_ADMIN}),
    Access.METRICS: frozenset({AccountRole.OWNER, AccountRole.ADMIN, AccountRole.METRICS_READ}),
    Access.OWNER: frozenset({AccountRole.OWNER}),
}
"""Who has each access. PUBLIC and SESSION depend on no role, see `permits`."""

NAMESPACE_ACCESS = frozenset({Access.READ, Access.WRITE, Access.WORKER, Access.ADMIN})

ADMIN_OF_ALL_NAMESPACES = frozenset({AccountRole.OWNER, AccountRole.ADMIN})

IMPLIED: Mapping[Permission, frozenset[Permission]] = {
    Permission.ADMIN: frozenset(Permission),
    Permission.WRITE: frozenset({Permission.WRITE, Permission.READ, Permission.WORKER}),
    Permission.READ: frozenset({Permission.READ}),
    Permission.WORKER: frozenset({Permission.WORKER}),
}


class PrincipalKind(StrEnum):
    USER = "user"
    API_KEY = "api_key"
    CERTIFICATE = "certificate"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class NamespaceRef:
    """A namespace, resolved once at the door; `generation` tells re-created names apart."""

    account_id: str
    id: str
    name: str
    cell: str
    generation: int

    @property
    def full_name(self) -> str:
        return f"{self.name}.{self.account_id}"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller and all that it may do.

    `user_id` is the user behind it: itself, or the owner of the API key; there is none behind a
    client certificate, whose `id` is its fingerprint. `account_permission`
    holds in every namespace of the account, `grants` in single ones (namespace id → permission).
    """

    kind: PrincipalKind
    id: str
    account_id: str
    account_role: AccountRole | None = None
    account_permission: Permission | None = None
    grants: Mapping[str, Permission] = field(default_factory=dict)
    expires_at: datetime | None = None
    user_id: str | None = None

    def permissions(self, namespace_id: str) -> frozenset[Permission]:
        granted = {self.account_permission, self.grants.get(namespace_id)}
        return frozenset(permission for permission in granted if permission is not None)


def permits(principal: Principal | None, access: Access, namespace: NamespaceRef | None) -> bool:
    """True if the caller has the access; anything not listed in PERMITS is denied."""
    if access is Access.PUBLIC:
        return True
    if principal is None:
        return False
    if namespace is not None and namespace.account_id != principal.account_id:
        return False
    if access is Access.SESSION:
        return principal.kind is PrincipalKind.USER
    if access in NAMESPACE_ACCESS:
        return namespace is not None and not PERMITS[access].isdisjoint(
            principal.permissions(namespace.id)
        )
    return principal.account_role in PERMITS.get(access, frozenset())


def accesses_of(principal: Principal, namespace: NamespaceRef | None = None) -> frozenset[Access]:
    """All that the caller has in its account and, if one is named, in that namespace."""
    return frozenset(access for access in PERMITS if permits(principal, access, namespace))


def require(principal: Principal, access: Access, action: str, *, target: str) -> None:
    """Raises PermissionDenied unless the caller has this access to its account."""
    if not permits(principal, access, None):
        raise PermissionDenied(action, target, f"ask an account owner for {access} access")


def require_in(principal: Principal, access: Access, action: str, *, on: NamespaceRef) -> None:
    """Raises PermissionDenied unless the caller has this access to the namespace."""
    if not permits(principal, access, on):
        raise PermissionDenied(action, on.id, f"ask a namespace admin for {access} access")


def narrower(one: Permission | None, other: Permission | None) -> Permission | None:
    """What two permissions have in common, as one permission; None if nothing."""
    if one is None or other is None:
        return None
    if one in IMPLIED[other]:
        return one
    return other if other in IMPLIED[one] else None


def system_principal(account_id: str, id: str) -> Principal:
    """The cloud itself, acting inside one account and nowhere else."""
    return Principal(
        PrincipalKind.SYSTEM,
        id,
        account_id,
        account_role=AccountRole.OWNER,
        account_permission=Permission.ADMIN,
    )
