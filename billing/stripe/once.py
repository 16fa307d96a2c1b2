"""Making something at Stripe once, whatever fails in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from billing.tables import ProviderObject
from tenancy import Database
from tenancy.dialects import insert
from tenancy.randomness import Now

if TYPE_CHECKING:
    from stripe import StripeObject

KEY_LIFE = timedelta(hours=23)
"""Stripe remembers an idempotency key for a day; an hour of it is for clocks and slow calls."""

Create = Callable[[str], Awaitable[str]]
"""Makes the object with this idempotency key; its id."""

Find = Callable[[], Awaitable[str | None]]
"""The id of the object, found by what we wrote into its metadata."""


async def made_once(database: Database, key: str, now: Now, *, create: Create, find: Find) -> str:
    """The id of the one object of this key, made now if there is none.

    That we try is on record before the call, and what came of it behind it. A try without a result
    is made again with the same idempotency key, which Stripe answers with what it made; if that key
    may be forgotten, we look first.
    """
    async with database.transaction() as session:
        await session.execute(
            insert(session, ProviderObject)
            .values(key=key, tried_at=now())
            .on_conflict_do_nothing(index_elements=["key"])
        )
        known = await session.get_one(ProviderObject, key)
    if known.object_id is not None:
        return known.object_id
    object_id = await find() if now() - known.tried_at > KEY_LIFE else None
    if object_id is None:
        object_id = await create(key)
    async with database.transaction() as session:
        await session.execute(
            sa.update(ProviderObject)
            .where(ProviderObject.key == key, ProviderObject.object_id.is_(None))
            .values(object_id=object_id)
        )
    return object_id


async def object_of(session: AsyncSession, key: str) -> str | None:
    """The id of what was made of this key."""
    known = await session.get(ProviderObject, key)
    return None if known is None else known.object_id


def metadata_of(there: StripeObject, key: str) -> str | None:
    """What we wrote into an object's metadata under this key."""
    told: dict[str, str] = there.to_dict().get("metadata") or {}
    return told.get(key)


async def key_of(session: AsyncSession, object_id: str) -> str | None:
    """What an object was made of, if it is ours."""
    found = await session.scalars(
        sa.select(ProviderObject.key).where(ProviderObject.object_id == object_id)
    )
    return found.first()
