"""GetCurrentIdentity."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import (
    GetCurrentIdentityRequest,
    GetCurrentIdentityResponse,
)
from temporalio.api.cloud.identity.v1 import ApiKey, User

from api.cloud.api_key.message import key_message
from api.cloud.services import Services
from api.cloud.user.message import user_message
from tenancy import Access, Principal, PrincipalKind, permits
from tenancy.members import grants_of


async def get_current_identity(
    services: Services, request: GetCurrentIdentityRequest, caller: Principal
) -> GetCurrentIdentityResponse:
    """Who calls. A key without access to the account learns the ids and nothing else.

    Nobody is told to a client certificate: it is neither a user's nor a service account's.
    """
    if caller.user_id is None:
        return GetCurrentIdentityResponse()
    is_key = caller.kind is PrincipalKind.API_KEY
    if not permits(caller, Access.ACCOUNT_READ, None):
        return GetCurrentIdentityResponse(
            user=User(id=caller.user_id), principal_api_key=ApiKey(id=caller.id)
        )
    control = services.control
    async with services.database.reading() as session:
        user = await control.users.get(session, caller, caller.user_id)
        grants = await grants_of(session, user)
        names = await control.namespaces.names(session, caller)
        key = await control.api_keys.get(session, caller, caller.id) if is_key else None
    return GetCurrentIdentityResponse(
        user=user_message(user, grants, names),
        principal_api_key=None if key is None else key_message(key, services.now()),
    )
