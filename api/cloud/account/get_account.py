"""GetAccount."""

from __future__ import annotations

from temporalio.api.cloud.account.v1 import Account
from temporalio.api.cloud.cloudservice.v1 import GetAccountRequest, GetAccountResponse
from temporalio.api.cloud.resource.v1 import ResourceState

from api.cloud.services import Services
from tenancy import Principal


async def get_account(
    services: Services, request: GetAccountRequest, caller: Principal
) -> GetAccountResponse:
    return GetAccountResponse(
        account=Account(id=caller.account_id, state=ResourceState.RESOURCE_STATE_ACTIVE)
    )
