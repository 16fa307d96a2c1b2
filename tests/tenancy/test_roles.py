from __future__ import annotations

import itertools

import pytest

from tenancy import (
    Access,
    AccountRole,
    NamespaceRef,
    Permission,
    Principal,
    PrincipalKind,
    accesses_of,
    permits,
)
from tenancy.roles import IMPLIED, NAMESPACE_ACCESS, PERMITS, narrower

OURS = NamespaceRef("acc111", "ns-1", "orders", "cell-1", 1)
SIBLING = NamespaceRef("acc111", "ns-2", "billing", "cell-1", 1)
FOREIGN = NamespaceRef("acc222", "ns-1", "orders", "cell-1", 1)

EXPECTED = {
    Permission.ADMIN: {Access.READ, Access.WRITE, Access.WORKER, Access.ADMIN},
    Permission.WRITE: {Access.READ, Access.WRITE, Access.WORKER},
    Permission.READ: {Access.READ},
    Permission.WORKER: {Access.WORKER},
}


def holder(permission: Permission | None = None, role: AccountRole | None = None) -> Principal:
    grants = {} if permission is None else {OURS.id: permission}
    return Principal(PrincipalKind.API_KEY, "k", OURS.account_id, role, None, grants)


@pytest.mark.parametrize(
    ("permission", "access"), list(itertools.product(Permission, sorted(NAMESPACE_ACCESS)))
)
def test_a_grant_holds_for_its_namespace_only(permission: Permission, access: Access) -> None:
    principal = holder(permission)
    assert permits(principal, access, OURS) == (access in EXPECTED[permission])
    assert not permits(principal, access, SIBLING)
    assert not permits(principal, access, FOREIGN)
    assert not permits(principal, access, None)


@pytest.mark.parametrize("access", sorted(NAMESPACE_ACCESS))
def test_an_account_wide_permission_ends_at_the_account(access: Access) -> None:
    principal = Principal(
        PrincipalKind.API_KEY, "k", OURS.account_id, account_permission=Permission.ADMIN
    )
    assert permits(principal, access, SIBLING)
    assert not permits(principal, access, FOREIGN)


ACCOUNT_TABLE = {
    Access.ACCOUNT_READ: set(AccountRole),
    Access.ACCOUNT_WRITE: {AccountRole.OWNER, AccountRole.ADMIN},
    Access.CREATE_NAMESPACE: {AccountRole.OWNER, AccountRole.ADMIN, AccountRole.DEVELOPER},
    Access.FINANCE: {AccountRole.OWNER, AccountRole.FINANCE_ADMIN},
    Access.USAGE: {AccountRole.OWNER, AccountRole.ADMIN, AccountRole.FINANCE_ADMIN},
    Access.METRICS: {AccountRole.OWNER, AccountRole.ADMIN, AccountRole.METRICS_READ},
    Access.OWNER: {AccountRole.OWNER},
}


@pytest.mark.parametrize(("role", "access"), list(itertools.product(AccountRole, ACCOUNT_TABLE)))
def test_account_roles_open_what_the_table_says(role: AccountRole, access: Access) -> None:
    assert permits(holder(role=role), access, None) == (role in ACCOUNT_TABLE[access])
    assert not permits(holder(role=role), access, FOREIGN)


def test_a_namespace_permission_opens_nothing_of_the_account() -> None:
    assert not any(permits(holder(Permission.ADMIN), access, None) for access in ACCOUNT_TABLE)


@pytest.mark.parametrize("role", AccountRole)
@pytest.mark.parametrize("permission", [None, *Permission])
def test_all_that_somebody_has_is_what_the_tables_open(
    role: AccountRole, permission: Permission | None
) -> None:
    everywhere = {access for access in ACCOUNT_TABLE if role in ACCOUNT_TABLE[access]}
    here = EXPECTED[permission] if permission else set()
    somebody = holder(permission, role)
    assert accesses_of(somebody) == accesses_of(somebody, SIBLING) == everywhere
    assert accesses_of(somebody, OURS) == everywhere | here
    assert not accesses_of(somebody, FOREIGN)


def test_nobody_is_let_in_to_public_operations_only() -> None:
    assert [access for access in Access if permits(None, access, OURS)] == [Access.PUBLIC]


def test_only_a_user_has_a_session() -> None:
    for kind in PrincipalKind:
        principal = Principal(kind, "x", OURS.account_id, AccountRole.OWNER)
        assert permits(principal, Access.SESSION, None) == (kind is PrincipalKind.USER)


def test_every_access_has_a_rule() -> None:
    assert set(Access) - set(PERMITS) == {Access.PUBLIC, Access.SESSION}


def test_what_two_permissions_have_in_common_is_in_both() -> None:
    for one, other in itertools.product(Permission, Permission):
        common = narrower(one, other)
        shared = IMPLIED[one] & IMPLIED[other]
        assert (common is None) == (not shared)
        assert common is None or IMPLIED[common] == shared
