"""A member as the API tells it, and what a client may say of one."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.api.cloud.identity.v1 import (
    Access,
    AccountAccess,
    NamespaceAccess,
    UserSpec,
)
from temporalio.api.cloud.identity.v1 import Invitation as InvitationMessage
from temporalio.api.cloud.identity.v1 import User as UserMessage
from temporalio.api.cloud.resource.v1 import ResourceState

from api.cloud.fields import not_offered, timestamp
from tenancy import AccountRole, ControlPlane, InvalidField, Permission, Principal
from tenancy.invitations import Invitation
from tenancy.members import Member, MemberAccess

ROLES = {
    AccountRole.OWNER: AccountAccess.ROLE_OWNER,
    AccountRole.ADMIN: AccountAccess.ROLE_ADMIN,
    AccountRole.DEVELOPER: AccountAccess.ROLE_DEVELOPER,
    AccountRole.FINANCE_ADMIN: AccountAccess.ROLE_FINANCE_ADMIN,
    AccountRole.READ: AccountAccess.ROLE_READ,
    AccountRole.METRICS_READ: AccountAccess.ROLE_METRICS_READ,
}
PERMISSIONS = {
    Permission.ADMIN: NamespaceAccess.PERMISSION_ADMIN,
    Permission.WRITE: NamespaceAccess.PERMISSION_WRITE,
    Permission.READ: NamespaceAccess.PERMISSION_READ,
}
"""A permission that the API has no word for is left out."""

_ROLES_TOLD = {message: role for role, message in ROLES.items()}
_PERMISSIONS_TOLD = {message: permission for permission, message in PERMISSIONS.items()}


def user_message(
    member: Member, grants: Mapping[str, Permission], names: Mapping[str, str]
) -> UserMessage:
    """`grants` are what the member was given; `names` are namespaces' full names by id.

    Grants in deleted namespaces stand and give nothing, so they are not told.
    """
    return UserMessage(
        id=member.id,
        resource_version=str(member.resource_version),
        spec=UserSpec(
            email=member.email,
            access=Access(
                account_access=AccountAccess(role=ROLES[member.role]),
                namespace_accesses={
                    names[namespace_id]: NamespaceAccess(permission=PERMISSIONS[permission])
                    for namespace_id, permission in grants.items()
                    if permission in PERMISSIONS and namespace_id in names
                },
            ),
        ),
        state=ResourceState.RESOURCE_STATE_ACTIVE,
        invitation=_invitation(member),
        created_time=timestamp(member.created_at),
        last_modified_time=timestamp(member.updated_at),
    )


def _invitation(member: Member) -> InvitationMessage | None:
    """It is there until it is accepted, also when it has expired and could be sent again."""
    if not isinstance(member, Invitation):
        return None
    return InvitationMessage(
        created_time=timestamp(member.created_at), expired_time=timestamp(member.expires_at)
    )


async def access_of(
    control: ControlPlane, session: AsyncSession, caller: Principal, access: Access
) -> MemberAccess:
    """What a client asks for; namespaces by their full names. Raises InvalidField and NotFound."""
    account = access.account_access
    if account.role_deprecated or access.custom_roles_deprecated or account.custom_roles:
        raise not_offered("spec.access.account_access.custom_roles")
    role = _ROLES_TOLD.get(account.role)
    if role is None:
        raise InvalidField(
            "spec.access.account_access.role", "is missing or unknown", "send a role"
        )
    grants = {}
    for name, told in access.namespace_accesses.items():
        permission = permission_of(told, "spec.access.namespace_accesses")
        if permission is None:
            raise InvalidField(
                "spec.access.namespace_accesses", "has no permission", "leave that one out"
            )
        grants[(await control.namespaces.find(session, caller, name)).id] = permission
    return MemberAccess(role, grants)


def permission_of(told: NamespaceAccess, field: str) -> Permission | None:
    """None where no permission is named, which takes access away."""
    if told.permission_deprecated:
        raise not_offered(f"{field}.permission_deprecated")
    if told.permission == NamespaceAccess.PERMISSION_UNSPECIFIED:
        return None
    permission = _PERMISSIONS_TOLD.get(told.permission)
    if permission is None:
        raise InvalidField(field, "has an unknown permission", "send admin, write or read")
    return permission
