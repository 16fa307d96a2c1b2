"""ReadFacts and DeleteFacts: the way of metering out of the cell."""

from __future__ import annotations

from engine.call import Call
from engine.cell.services import Services
from engine.errors import InvalidArgument
from engine.handlers.handler import CELL_SERVICE, Handler, anywhere
from engine.limits import VISIBILITY_PAGE_SIZE_MAX
from engine.protocol.cell_pb2 import (
    DeleteFactsRequest,
    DeleteFactsResponse,
    ReadFactsRequest,
    ReadFactsResponse,
)


async def read(services: Services, request: ReadFactsRequest, call: Call) -> ReadFactsResponse:
    if not 1 <= request.limit <= VISIBILITY_PAGE_SIZE_MAX:
        raise InvalidArgument(f"limit must be 1 to {VISIBILITY_PAGE_SIZE_MAX}", "limit")
    answer = ReadFactsResponse()
    for row in await services.store.read_facts(request.after_position, request.limit):
        answer.rows.add(
            position=row.position, shard_id=row.shard_id, sequence=row.sequence, blob=row.blob
        )
    return answer


async def delete(
    services: Services, request: DeleteFactsRequest, call: Call
) -> DeleteFactsResponse:
    await services.store.delete_facts(request.up_to_position)
    return DeleteFactsResponse()


HANDLER = Handler(CELL_SERVICE + "ReadFacts", ReadFactsRequest, anywhere, read, in_namespace=False)
DELETE_HANDLER = Handler(
    CELL_SERVICE + "DeleteFacts", DeleteFactsRequest, anywhere, delete, in_namespace=False
)
