"""A user as the API tells it."""

from __future__ import annotations

from collections.abc import Mapping

from temporalio.api.cloud.identity.v1 import (
    Access,
    AccountAccess,
    NamespaceAccess,
    UserSpec,
)
from temporalio.api.cloud.identity.v1 import User as UserMessage
from temporalio.api.cloud.resource.v1 import ResourceState

from api.cloud.fields import timestamp
from tenancy import AccountRole, Permission, Principal, User

ROLES = {
    AccountRole.OWNER: AccountAccess.ROLE_OWNER,
    AccountRole.ADMIN: AccountAccess.ROLE_ADMIN,
    AccountRole.DEVELOPER: AccountAccess.ROLE_DEVELOPER,
    AccountRole.FINANCE_ADMIN: AccountAccess.ROLE_FINANCE_ADMIN,
    AccountRole.READ: AccountAccess.ROLE_READ,
}
PERMISSIONS = {
    Permission.ADMIN: NamespaceAccess.PERMISSION_ADMIN,
    Permission.WRITE: NamespaceAccess.PERMISSION_WRITE,
    Permission.READ: NamespaceAccess.PERMISSION_READ,
}
"""A permission that the API has no word for is left out."""


def user_message(user: User, principal: Principal, names: Mapping[str, str]) -> UserMessage:
    """`principal` is what the user may do now; `names` are namespaces' full names by id.

    Grants in deleted namespaces stand and give nothing, so they are not told.
    """
    return UserMessage(
        id=user.id,
        spec=UserSpec(
            email=user.email,
            access=Access(
                account_access=AccountAccess(role=ROLES[user.role]),
                namespace_accesses={
                    names[namespace_id]: NamespaceAccess(permission=PERMISSIONS[permission])
                    for namespace_id, permission in principal.grants.items()
                    if permission in PERMISSIONS and namespace_id in names
                },
            ),
        ),
        state=ResourceState.RESOURCE_STATE_ACTIVE,
        created_time=timestamp(user.created_at),
    )
