"""Where namespaces can live. An installation on one machine is one region."""

from __future__ import annotations

from temporalio.api.cloud.region.v1 import Region

REGION_ID = "local"
REGIONS = (Region(id=REGION_ID, cloud_provider_region=REGION_ID, location="This installation"),)
