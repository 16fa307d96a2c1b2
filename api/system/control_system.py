"""The control plane's workflows, put together with the cell that they live in."""

from __future__ import annotations

from collections.abc import Sequence

from api.installation import Installation
from api.system.store import system_store
from api.system.system import System, Work
from billing.closing import Closing
from billing.workflows.activities import WORKFLOWS, ClosingActivities, begin_closings
from tenancy import ControlPlane, Provisioner
from tenancy.randomness import Now
from tenancy.workflows.provision_namespace import ProvisioningActivities, ProvisionNamespace
from tenancy.workflows.starter import ProvisioningStarter


class ControlSystem:
    """`serve` and `provision` are upkeep. Without a `postgres` it has a file of its own."""

    def __init__(
        self,
        installation: Installation,
        postgres: str | None,
        *,
        control: ControlPlane,
        provisioner: Provisioner,
        closing: Closing | None,
        cell_ids: Sequence[str],
        now: Now,
    ) -> None:
        self._system = System(installation, system_store(installation, postgres))
        client = self._system.client
        self._starter = ProvisioningStarter(control.reconciler, provisioner, client=client, now=now)
        provisionings = ProvisioningActivities(control.reconciler, provisioner)
        self._work = Work((ProvisionNamespace,), provisionings.all)
        if closing is not None:
            closings = ClosingActivities(closing, cell_ids=cell_ids, client=client, now=now)
            self._work += Work(WORKFLOWS, closings.all, begin_closings)

    async def serve(self) -> float:
        """For ever, unless it fails: then it may be called again."""
        await self._system.serve(self._work)
        return 0.0

    async def provision(self) -> int:
        """Looks after each unfinished operation once; how many there were."""
        return await self._starter.round()
