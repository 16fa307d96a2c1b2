"""Sees to it that each unfinished operation has a workflow, and does without if it must.

It goes by what the database says, so an operation whose request died before anybody was told of
it is found like any other.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from perdure.exceptions import RPCError
from tenancy.provisioning import Provisioner, Reconciler, Unfinished
from tenancy.randomness import Now
from tenancy.workflows.provision_namespace import ProvisionNamespace, workflow_id
from tenancy.workflows.starting import ReadyClient, start_once

logger = logging.getLogger(__name__)

ENGINE_HAS = timedelta(seconds=5)
"""So long an operation waits for an engine that takes it: longer than the engine needs to start."""

WORKFLOW_HAS = timedelta(seconds=20)
"""So long it waits for its workflow to end it, which may itself be what is broken."""


class ProvisioningStarter:
    """`round` it when there is something to do, and now and then."""

    def __init__(
        self, reconciler: Reconciler, provisioner: Provisioner, *, client: ReadyClient, now: Now
    ) -> None:
        self._reconciler = reconciler
        self._provisioner = provisioner
        self._client = client
        self._now = now
        self._since = now()

    async def round(self) -> int:
        """Looks at each unfinished operation once; how many there were that have not ended."""
        unfinished = 0
        for operation in await self._reconciler.unfinished():
            patience = WORKFLOW_HAS if await self._is_started(operation) else ENGINE_HAS
            is_late = self._now() - max(operation.created_at, self._since) >= patience
            if not (is_late and await self._reconciler.advance(self._provisioner, operation)):
                unfinished += 1
        return unfinished

    async def _is_started(self, operation: Unfinished) -> bool:
        """False if there is no engine to do it."""
        client = self._client()
        if client is None:
            return False
        id = workflow_id(operation.account_id, operation.id)
        try:
            await start_once(
                client, ProvisionNamespace.run, operation.account_id, operation.id, id=id
            )
        except (RPCError, TimeoutError) as error:
            extra = {"operation_id": operation.id, "error": type(error).__name__}
            logger.info("provisioning_without_workflow", extra=extra)
            return False
        return True
