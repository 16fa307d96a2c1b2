"""An API key as the API tells it, and what a client may say of one."""

from __future__ import annotations

from datetime import datetime

from temporalio.api.cloud.identity.v1 import ApiKey as ApiKeyMessage
from temporalio.api.cloud.identity.v1 import ApiKeySpec, OwnerType
from temporalio.api.cloud.resource.v1 import ResourceState

from api.cloud.fields import time_of, timestamp
from tenancy import ApiKey, InvalidField, KeyLabel, Principal


def key_message(key: ApiKey, now: datetime) -> ApiKeyMessage:
    is_over = key.expires_at <= now
    return ApiKeyMessage(
        id=key.id,
        resource_version=str(key.resource_version),
        spec=ApiKeySpec(
            owner_id=key.user_id,
            owner_type=OwnerType.OWNER_TYPE_USER,
            display_name=key.name,
            description=key.description,
            expiry_time=timestamp(key.expires_at),
            disabled=key.is_disabled,
        ),
        state=ResourceState.RESOURCE_STATE_EXPIRED
        if is_over
        else ResourceState.RESOURCE_STATE_ACTIVE,
        created_time=timestamp(key.created_at),
        last_modified_time=timestamp(key.updated_at),
    )


def label_of(spec: ApiKeySpec) -> KeyLabel:
    return KeyLabel(spec.display_name, spec.description, spec.disabled)


def expiry_of(spec: ApiKeySpec) -> datetime | None:
    """None where the client leaves it to the cloud."""
    if not spec.HasField("expiry_time"):
        return None
    return time_of(spec.expiry_time, "spec.expiry_time")


def check_owner(spec: ApiKeySpec, caller: Principal) -> None:
    """A key belongs to the user who makes it: nobody can act in another's name."""
    if spec.owner_type == OwnerType.OWNER_TYPE_SERVICE_ACCOUNT:
        raise InvalidField(
            "spec.owner_type", "must be a user: this cloud has no service accounts", "leave it out"
        )
    if spec.owner_id not in ("", caller.user_id):
        raise InvalidField("spec.owner_id", "must be your own user id", "leave it out")
