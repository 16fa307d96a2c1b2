"""Operations: work that a request started and that ends later, if need be after a crash."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.database import Model, Text, stored_enum
from tenancy.errors import AlreadyExists, InvalidField, NotFound
from tenancy.randomness import Now, TokenBytes, new_uuid
from tenancy.roles import Access, Principal, require

OPERATION_ID_CHARACTERS_MAX = 100
FAILURE_CHARACTERS_MAX = 500


class OperationKind(StrEnum):
    CREATE_NAMESPACE = "create_namespace"
    UPDATE_NAMESPACE = "update_namespace"
    DELETE_NAMESPACE = "delete_namespace"
    CREATE_API_KEY = "create_api_key"
    UPDATE_API_KEY = "update_api_key"
    DELETE_API_KEY = "delete_api_key"
    CREATE_USER = "create_user"
    UPDATE_USER = "update_user"
    DELETE_USER = "delete_user"
    SET_USER_NAMESPACE_ACCESS = "set_namespace_access"


class OperationState(StrEnum):
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    FULFILLED = "fulfilled"
    FAILED = "failed"


UNFINISHED = (OperationState.PENDING, OperationState.IN_PROGRESS)


class AsyncOperation(Model):
    """Its id may be chosen by the caller, so it is unique within the account only.

    `failure` says why it failed, or why the latest attempt of an unfinished one did.
    """

    __tablename__ = "async_operation"
    account_id: Mapped[str] = mapped_column(sa.ForeignKey("account.id"), primary_key=True)
    id: Mapped[str] = mapped_column(Text(OPERATION_ID_CHARACTERS_MAX), primary_key=True)
    kind: Mapped[OperationKind] = mapped_column(stored_enum(OperationKind))
    state: Mapped[OperationState] = mapped_column(stored_enum(OperationState), index=True)
    resource_id: Mapped[str] = mapped_column(Text(36), index=True)
    request_digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32))
    failure: Mapped[str | None] = mapped_column(Text(FAILURE_CHARACTERS_MAX))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Operations:
    def __init__(self, *, now: Now, token_bytes: TokenBytes) -> None:
        self._now = now
        self._token_bytes = token_bytes

    async def get(
        self, session: AsyncSession, actor: Principal, operation_id: str
    ) -> AsyncOperation:
        require(actor, Access.ACCOUNT_READ, "operation.get", target=operation_id)
        operation = await session.get(AsyncOperation, (actor.account_id, operation_id))
        if operation is None:
            raise NotFound("operation", operation_id)
        return operation

    async def repeated(
        self,
        session: AsyncSession,
        account_id: str,
        operation_id: str | None,
        request: list[object],
    ) -> AsyncOperation | None:
        """The operation that this same request already started, if it did."""
        if operation_id is None:
            return None
        if (
            not 1 <= len(operation_id) <= OPERATION_ID_CHARACTERS_MAX
            or not operation_id.isprintable()
        ):
            raise InvalidField(
                "async_operation_id",
                f"must have 1 to {OPERATION_ID_CHARACTERS_MAX} printable characters",
                "leave it out to have one made",
            )
        operation = await session.get(AsyncOperation, (account_id, operation_id))
        if operation is not None and operation.request_digest != _digest(request):
            raise AlreadyExists("operation", operation_id)
        return operation

    async def unfinished(self, session: AsyncSession, resource_id: str) -> AsyncOperation | None:
        found = await session.scalars(
            sa.select(AsyncOperation).where(
                AsyncOperation.resource_id == resource_id, AsyncOperation.state.in_(UNFINISHED)
            )
        )
        return found.one_or_none()

    async def unfinished_in(self, session: AsyncSession, account_id: str) -> dict[str, str]:
        """The ids of the account's unfinished operations, by resource id."""
        query = sa.select(AsyncOperation).where(
            AsyncOperation.account_id == account_id, AsyncOperation.state.in_(UNFINISHED)
        )
        return {each.resource_id: each.id for each in await session.scalars(query)}

    def begin(
        self,
        session: AsyncSession,
        account_id: str,
        kind: OperationKind,
        *,
        resource_id: str,
        operation_id: str | None = None,
        request: list[object],
        is_done: bool = False,
    ) -> AsyncOperation:
        """`is_done` is for what the caller's transaction does by itself."""
        now = self._now()
        operation = AsyncOperation(
            account_id=account_id,
            id=operation_id or new_uuid(self._token_bytes),
            kind=kind,
            state=OperationState.FULFILLED if is_done else OperationState.PENDING,
            resource_id=resource_id,
            request_digest=_digest(request),
            created_at=now,
            started_at=now if is_done else None,
            finished_at=now if is_done else None,
        )
        session.add(operation)
        return operation


def _digest(request: list[object]) -> bytes:
    return hashlib.sha256(json.dumps(request).encode()).digest()
