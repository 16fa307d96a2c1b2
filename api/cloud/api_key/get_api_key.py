"""GetApiKey."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import GetApiKeyRequest, GetApiKeyResponse

from api.cloud.api_key.message import key_message
from api.cloud.services import Services
from tenancy import Principal


async def get_api_key(
    services: Services, request: GetApiKeyRequest, caller: Principal
) -> GetApiKeyResponse:
    async with services.database.reading() as session:
        key = await services.control.api_keys.get(session, caller, request.key_id)
    return GetApiKeyResponse(api_key=key_message(key, services.now()))
