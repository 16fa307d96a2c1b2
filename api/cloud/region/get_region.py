"""GetRegion."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import GetRegionRequest, GetRegionResponse

from api.cloud.region.regions import regions
from api.cloud.services import Services
from tenancy import NotFound, Principal


async def get_region(
    services: Services, request: GetRegionRequest, caller: Principal
) -> GetRegionResponse:
    for region in regions(services.control):
        if region.id == request.region:
            return GetRegionResponse(region=region)
    raise NotFound("region", request.region)
