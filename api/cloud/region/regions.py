"""Where namespaces can live, as the API tells it."""

from __future__ import annotations

from temporalio.api.cloud.region.v1 import Region

from tenancy import ControlPlane


def regions(control: ControlPlane) -> list[Region]:
    """Those of the cells that there are. An installation on one machine is one region."""
    return [
        Region(id=name, cloud_provider_region=name, location="This installation")
        for name in control.placement.regions
    ]
