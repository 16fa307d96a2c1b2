"""A namespace's creation, update or deletion, taken to its end through any crash."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from perdure import activity, workflow
from tenancy.provisioning import Provisioner, Reconciler
from tenancy.workflows.step import step

TELL_CELL = "tell_cell"
FINISH_OPERATION = "finish_operation"


@workflow.defn
class ProvisionNamespace:
    """Tries for as long as a cell or the database is away; only a refusal ends it otherwise."""

    @workflow.run
    async def run(self, account_id: str, operation_id: str) -> str | None:
        """Why the cell refused, if it did."""
        refusal: str | None = await step(TELL_CELL, account_id, operation_id)
        await step(FINISH_OPERATION, account_id, operation_id, refusal)
        return refusal


class ProvisioningActivities:
    """The reconciler's steps as activities. Each may be repeated."""

    def __init__(self, reconciler: Reconciler, provisioner: Provisioner) -> None:
        self._reconciler = reconciler
        self._provisioner = provisioner

    @property
    def all(self) -> Sequence[Callable[..., Any]]:
        return self.tell_cell, self.finish_operation

    @activity.defn(name=TELL_CELL)
    async def tell_cell(self, account_id: str, operation_id: str) -> str | None:
        return await self._reconciler.tell_cell(self._provisioner, account_id, operation_id)

    @activity.defn(name=FINISH_OPERATION)
    async def finish_operation(
        self, account_id: str, operation_id: str, refusal: str | None
    ) -> None:
        await self._reconciler.finish(account_id, operation_id, refusal)


def workflow_id(account_id: str, operation_id: str) -> str:
    """Callers may choose an operation's id, so that it is unique within the account alone."""
    return f"provision-{account_id}-{operation_id}"
