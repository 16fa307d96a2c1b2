"""The catalogue of the published operator service."""

from __future__ import annotations

from collections.abc import Mapping

from api.catalogue.row import Audited, Row, Scope, cell, not_served
from tenancy import Access

_READ, _WORKER = Access.READ, Access.WORKER


ROWS: Mapping[str, Row] = {
    "AddSearchAttributes": cell(Access.ADMIN, audited=Audited.EVERYBODY),
    "RemoveSearchAttributes": cell(Access.ADMIN, audited=Audited.EVERYBODY),
    "ListSearchAttributes": cell(_READ, _WORKER),
    "DeleteNamespace": not_served(),
    "AddOrUpdateRemoteCluster": not_served(Scope.SYSTEM),
    "RemoveRemoteCluster": not_served(Scope.SYSTEM),
    "ListClusters": not_served(Scope.SYSTEM),
    "GetNexusEndpoint": not_served(Scope.SYSTEM),
    "CreateNexusEndpoint": not_served(Scope.SYSTEM),
    "UpdateNexusEndpoint": not_served(Scope.SYSTEM),
    "DeleteNexusEndpoint": not_served(Scope.SYSTEM),
    "ListNexusEndpoints": not_served(Scope.SYSTEM),
}
