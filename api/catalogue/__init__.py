"""One row per RPC: who may call it, who answers it. What has no row is not reachable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from temporalio.api.cloud.cloudservice.v1 import service_pb2 as cloud
from temporalio.api.operatorservice.v1 import service_pb2 as operator
from temporalio.api.workflowservice.v1 import service_pb2 as workflow

from api.catalogue import cloud_service, operator_service, task_service, workflow_service
from api.catalogue.row import CALL_SECONDS, POLL_SECONDS, Plane, Row, Scope
from api.transports.errors import CatalogueGap
from engine.protocol import tasks_pb2 as tasks

SERVICES: tuple[ServiceDescriptor, ...] = (
    workflow.DESCRIPTOR.services_by_name["WorkflowService"],
    tasks.DESCRIPTOR.services_by_name["TaskService"],
    operator.DESCRIPTOR.services_by_name["OperatorService"],
    cloud.DESCRIPTOR.services_by_name["CloudService"],
)
"""Everything a door offers. A cell's own service is internal and not among them."""

_ROWS: Mapping[str, Mapping[str, Row]] = {
    "temporal.api.workflowservice.v1.WorkflowService": workflow_service.ROWS,
    "perdure.api.v1.TaskService": task_service.ROWS,
    "temporal.api.operatorservice.v1.OperatorService": operator_service.ROWS,
    "temporal.api.cloud.cloudservice.v1.CloudService": cloud_service.ROWS,
}

__all__ = [
    "CALL_SECONDS",
    "CATALOGUE",
    "METHODS",
    "POLL_SECONDS",
    "SERVICES",
    "Plane",
    "Row",
    "Scope",
    "catalogue",
]


def catalogue(
    services: Iterable[ServiceDescriptor], rows: Mapping[str, Mapping[str, Row]]
) -> dict[str, Row]:
    """The rows by the methods' full names; raises CatalogueGap unless they match one to one."""
    methods = {method.full_name for service in services for method in service.methods}
    found = {f"{service}.{name}": row for service, by in rows.items() for name, row in by.items()}
    if methods != found.keys():
        raise CatalogueGap(methods ^ found.keys())
    return found


METHODS: Mapping[str, MethodDescriptor] = {
    method.full_name: method for service in SERVICES for method in service.methods
}
CATALOGUE: Mapping[str, Row] = catalogue(SERVICES, _ROWS)
