"""API keys with a scope, which the published API has no words for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.control.desk import caller_of, desk_of
from tenancy import KeyLabel, KeyScope, Permission, Principal
from tenancy.api_keys import (
    KEY_DESCRIPTION_CHARACTERS_MAX,
    KEY_LIFE_DAYS_DEFAULT,
    KEY_LIFE_DAYS_MAX,
    KEY_NAME_CHARACTERS_MAX,
)

NAMESPACES_PER_KEY_MAX = 100

router = APIRouter(tags=["API keys"])


class ScopedKey(BaseModel):
    """Either `account_permission`, which holds in every namespace, or `namespaces`."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(description=f"1 to {KEY_NAME_CHARACTERS_MAX} characters.")
    description: str = Field(
        "", description=f"At most {KEY_DESCRIPTION_CHARACTERS_MAX} characters."
    )
    expires_at: AwareDatetime | None = Field(
        None,
        description=f"At most {KEY_LIFE_DAYS_MAX} days ahead; {KEY_LIFE_DAYS_DEFAULT} days if left "
        "out.",
    )
    account_permission: Permission | None = None
    namespaces: dict[str, Permission] = Field(
        default_factory=dict,
        max_length=NAMESPACES_PER_KEY_MAX,
        description="Permissions by namespace, as `<name>.<account id>`.",
    )


class ShownKey(BaseModel):
    """A new key. `token` is the key itself; it is not shown again."""

    key_id: str
    token: str
    name: str
    expires_at: datetime


@router.post("/api/v1/api-keys", status_code=201)
async def create_scoped_key(
    request: Request, body: ScopedKey, caller: Annotated[Principal, Depends(caller_of)]
) -> ShownKey:
    """Make a key that may do less than its owner; `worker` may poll and complete tasks only."""
    control = desk_of(request).control
    async with control.acting(caller) as session:
        grants = {}
        for name, permission in body.namespaces.items():
            namespace = await control.namespaces.find(session, caller, name)
            grants[namespace.id] = permission
        made = await control.api_keys.create(
            session,
            caller,
            KeyLabel(body.name, body.description),
            scope=KeyScope(body.account_permission, grants),
            expires_at=body.expires_at,
        )
    await control.settle()
    return ShownKey(
        key_id=made.key.id,
        token=made.text,
        name=made.key.name,
        expires_at=made.key.expires_at,
    )
