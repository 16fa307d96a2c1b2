"""PutNamespace, as the control plane places a namespace in this cell."""

from __future__ import annotations

from engine.call import Call
from engine.cell.namespaces import Namespace, NamespaceSettings
from engine.cell.services import Services
from engine.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from engine.handlers import checks
from engine.handlers.handler import CELL_SERVICE, Handler, anywhere
from engine.limits import SEARCH_ATTRIBUTE_COUNT_MAX
from engine.protocol.cell_pb2 import PutNamespaceRequest, PutNamespaceResponse
from engine.visibility.search_attributes import TYPE_NAMES


async def handle(
    services: Services, request: PutNamespaceRequest, call: Call
) -> PutNamespaceResponse:
    checks.identifier("id", request.id)
    checks.identifier("name", request.name)
    checks.duration("workflow_execution_retention", request.workflow_execution_retention)
    await services.namespaces.reload()
    known = services.namespaces.known(request.id)
    if known is not None and known.settings.deleted:
        raise FailedPrecondition("a deleted namespace's id is never used again", id=request.id)
    # Workers may have added attributes here that the control plane does not know of.
    types = dict(known.settings.search_attributes) if known else {}
    for name, number in request.search_attributes.items():
        type_name = TYPE_NAMES.get(number)
        if type_name is None:
            raise InvalidArgument(f"search_attributes[{name!r}] has no type", "search_attributes")
        if types.setdefault(name, type_name) != type_name:
            raise AlreadyExists(f"search attribute {name} exists with type {types[name]}")
    if len(types) > SEARCH_ATTRIBUTE_COUNT_MAX:
        raise InvalidArgument(
            f"search_attributes has more than {SEARCH_ATTRIBUTE_COUNT_MAX} keys",
            "search_attributes",
        )
    settings = NamespaceSettings(
        retention_seconds=request.workflow_execution_retention.seconds,
        search_attributes=types,
        description=request.description,
        created_at_ns=known.settings.created_at_ns if known else services.env.now_ns(),
    )
    await services.namespaces.put(Namespace(request.id, request.name, settings))
    return PutNamespaceResponse()


HANDLER = Handler(
    CELL_SERVICE + "PutNamespace", PutNamespaceRequest, anywhere, handle, in_namespace=False
)
