"""GetRegions."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import GetRegionsRequest, GetRegionsResponse

from api.cloud.region.regions import regions
from api.cloud.services import Services
from tenancy import Principal


async def get_regions(
    services: Services, request: GetRegionsRequest, caller: Principal
) -> GetRegionsResponse:
    return GetRegionsResponse(regions=regions(services.control))
