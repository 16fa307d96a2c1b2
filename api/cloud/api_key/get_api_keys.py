"""GetApiKeys."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import GetApiKeysRequest, GetApiKeysResponse
from temporalio.api.cloud.identity.v1 import OwnerType

from api.cloud.api_key.message import key_message
from api.cloud.fields import page
from api.cloud.services import Services
from tenancy import Principal


async def get_api_keys(
    services: Services, request: GetApiKeysRequest, caller: Principal
) -> GetApiKeysResponse:
    """By time of creation. Revoked keys are gone; no service account has any."""
    async with services.database.reading() as session:
        keys = await services.control.api_keys.visible_to(session, caller)
    if request.owner_type == OwnerType.OWNER_TYPE_SERVICE_ACCOUNT:
        keys = []
    if request.owner_id:
        keys = [key for key in keys if key.user_id == request.owner_id]
    shown, next_page_token = page(
        services,
        caller,
        request,
        keys,
        lambda key: f"{key.created_at.isoformat()} {key.id}",
    )
    now = services.now()
    return GetApiKeysResponse(
        api_keys=[key_message(key, now) for key in shown], next_page_token=next_page_token
    )
