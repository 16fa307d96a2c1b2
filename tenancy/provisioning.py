"""Making a cell agree with the record: level-triggered, so a crash at any step is harmless."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import NamedTuple, Protocol

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from tenancy.accounts import locked_account
from tenancy.audit import AuditLog, AuditResult
from tenancy.changes import ChangeKind, record_change
from tenancy.database import Database
from tenancy.errors import ProvisioningRefused
from tenancy.namespace_settings import NamespaceSettings
from tenancy.namespaces import Namespace, NamespaceState
from tenancy.operations import (
    FAILURE_CHARACTERS_MAX,
    UNFINISHED,
    AsyncOperation,
    OperationKind,
    Operations,
    OperationState,
)
from tenancy.randomness import Now
from tenancy.roles import NamespaceRef, system_principal

logger = logging.getLogger(__name__)

RECONCILER_ID = "provisioning"


class Provisioner(Protocol):
    """A cell, as provisioning sees it. Both calls may be repeated, and may come late.

    Two control-plane processes may work on one operation, so a cell that has deleted a namespace
    id must go on refusing to create that id. ProvisioningRefused means never; any other exception
    means not yet.
    """

    async def create(self, ref: NamespaceRef, settings: NamespaceSettings) -> None:
        """Makes the namespace exist with these settings, whether or not it did before."""

    async def delete(self, ref: NamespaceRef) -> None:
        """Makes the namespace and all that it holds not exist."""


class Unfinished(NamedTuple):
    """An operation that has not ended."""

    account_id: str
    id: str
    created_at: datetime


class Reconciler:
    """The steps that take an operation to its end: `tell_cell`, then `finish`.

    Each may be repeated, also at once with another process. A workflow does them; whoever has no
    engine does them with `advance` or `reconcile`.
    """

    def __init__(
        self, *, database: Database, now: Now, operations: Operations, audit: AuditLog
    ) -> None:
        self._database = database
        self._now = now
        self._operations = operations
        self._audit = audit

    async def reconcile(self, provisioner: Provisioner) -> int:
        """Works once on each unfinished operation; returns how many are still unfinished."""
        unfinished = 0
        for operation in await self.unfinished():
            unfinished += not await self.advance(provisioner, operation)
        return unfinished

    async def unfinished(self) -> list[Unfinished]:
        """The oldest first."""
        async with self._database.reading() as session:
            operations = await session.scalars(
                sa.select(AsyncOperation)
                .where(AsyncOperation.state.in_(UNFINISHED))
                .order_by(AsyncOperation.created_at)
            )
            return [Unfinished(each.account_id, each.id, each.created_at) for each in operations]

    async def advance(self, provisioner: Provisioner, operation: Unfinished) -> bool:
        """Tries all steps once; True if the operation has ended."""
        account_id, id, _ = operation
        try:
            refusal = await self.tell_cell(provisioner, account_id, id)
        except Exception as error:
            extra = {"operation_id": id, "error": type(error).__name__}
            logger.warning("provisioning_retried", extra=extra)
            return False
        await self.finish(account_id, id, refusal)
        return True

    async def tell_cell(self, provisioner: Provisioner, account_id: str, id: str) -> str | None:
        """Has the cell do what is to be done. The answer is why it never will, if it refuses."""
        async with self._database.transaction() as session:
            operation, namespace = await self._held(session, account_id, id)
            if operation.state not in UNFINISHED:
                return None
            operation.state = OperationState.IN_PROGRESS
            operation.started_at = operation.started_at or self._now()
            kind, ref, settings = operation.kind, namespace.ref, namespace.settings
        try:
            if kind is OperationKind.DELETE_NAMESPACE:
                await provisioner.delete(ref)
            else:
                await provisioner.create(ref, settings)
        except ProvisioningRefused as refusal:
            return str(refusal)
        except Exception as error:
            async with self._database.transaction() as session:
                operation, _ = await self._held(session, account_id, id)
                if operation.state in UNFINISHED:
                    operation.failure = type(error).__name__
            raise
        return None

    async def finish(self, account_id: str, id: str, failure: str | None) -> None:
        """Records how it ended, once; doors learn of it by this commit."""
        async with self._database.transaction() as session:
            operation, namespace = await self._held(session, account_id, id)
            if operation.state not in UNFINISHED:
                return
            operation.finished_at = self._now()
            operation.failure = failure and failure[:FAILURE_CHARACTERS_MAX]
            operation.state = OperationState.FAILED if failure else OperationState.FULFILLED
            actor = system_principal(account_id, RECONCILER_ID)
            if failure is None and operation.kind is OperationKind.CREATE_NAMESPACE:
                namespace.turn(NamespaceState.ACTIVE)
            elif failure is None and operation.kind is OperationKind.DELETE_NAMESPACE:
                namespace.turn(NamespaceState.DELETED)
            elif operation.kind is OperationKind.CREATE_NAMESPACE:
                # The cell may hold a part of it: what was refused is deleted like any other.
                namespace.turn(NamespaceState.DELETING)
                kind = OperationKind.DELETE_NAMESPACE
                self._operations.begin(
                    session, account_id, kind, resource_id=namespace.id, request=[kind, id]
                )
            namespace.resource_version += 1
            namespace.updated_at = self._now()
            await record_change(session, ChangeKind.NAMESPACE, namespace.id)
            result = AuditResult.FAILED if failure else AuditResult.ACCEPTED
            await self._audit.record(
                session, actor, f"operation.{operation.kind}", namespace.id, id, result=result
            )

    async def _held(
        self, session: AsyncSession, account_id: str, id: str
    ) -> tuple[AsyncOperation, Namespace]:
        await locked_account(session, account_id)
        operation = await session.get_one(AsyncOperation, (account_id, id))
        return operation, await session.get_one(Namespace, operation.resource_id)
