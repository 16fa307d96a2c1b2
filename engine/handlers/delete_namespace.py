"""DeleteNamespace: nothing of it is reachable any more; its facts and summaries stay."""

from __future__ import annotations

from msgspec.structs import replace

from engine.call import Call
from engine.cell.services import Services
from engine.handlers.handler import CELL_SERVICE, Handler, anywhere
from engine.protocol.cell_pb2 import DeleteNamespaceRequest, DeleteNamespaceResponse


async def handle(
    services: Services, request: DeleteNamespaceRequest, call: Call
) -> DeleteNamespaceResponse:
    # That nothing is known of it is an answer only if the store says so now.
    await services.namespaces.reload()
    namespace = services.namespaces.known(request.id)
    if namespace is None or namespace.settings.deleted:
        return DeleteNamespaceResponse()
    settings = replace(namespace.settings, deleted=True)
    await services.namespaces.put(replace(namespace, settings=settings))
    return DeleteNamespaceResponse()


HANDLER = Handler(
    CELL_SERVICE + "DeleteNamespace",
    DeleteNamespaceRequest,
    anywhere,
    handle,
    in_namespace=False,
)
