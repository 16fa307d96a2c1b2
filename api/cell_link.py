"""The control plane's side of a cell: it provisions namespaces and reads what was metered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from temporalio.api.enums.v1 import IndexedValueType, NamespaceState

from api.cells import Cells
from api.dispatch import CellRpc
from billing.facts import FactRow
from engine.call import Call
from engine.errors import AlreadyExists, FailedPrecondition, InvalidArgument, Unavailable
from engine.handlers.handler import CELL_SERVICE
from engine.protocol import cell_pb2
from tenancy import NamespaceRef, NamespaceSettings, ProvisioningRefused, SearchAttributeType

CALL_SECONDS = 10.0
SECONDS_PER_DAY = 86_400

TYPES: Mapping[SearchAttributeType, IndexedValueType.ValueType] = {
    SearchAttributeType.TEXT: IndexedValueType.INDEXED_VALUE_TYPE_TEXT,
    SearchAttributeType.KEYWORD: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    SearchAttributeType.INT: IndexedValueType.INDEXED_VALUE_TYPE_INT,
    SearchAttributeType.DOUBLE: IndexedValueType.INDEXED_VALUE_TYPE_DOUBLE,
    SearchAttributeType.BOOL: IndexedValueType.INDEXED_VALUE_TYPE_BOOL,
    SearchAttributeType.DATETIME: IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    SearchAttributeType.KEYWORD_LIST: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
}


class CellLink:
    """Tenancy's Provisioner and billing's FactSource for one cell."""

    def __init__(self, cell_id: str, call: CellRpc) -> None:
        self.cell_id = cell_id
        self._call = call

    async def create(self, ref: NamespaceRef, settings: NamespaceSettings) -> None:
        request = cell_pb2.PutNamespaceRequest(
            id=ref.id,
            name=ref.full_name,
            workflow_execution_retention=Duration(
                seconds=settings.retention_days * SECONDS_PER_DAY
            ),
            search_attributes={
                name: TYPES[type] for name, type in settings.search_attributes.items()
            },
            state=NamespaceState.NAMESPACE_STATE_REGISTERED,
        )
        try:
            await self._ask("PutNamespace", request)
        except (FailedPrecondition, InvalidArgument, AlreadyExists) as refusal:
            raise ProvisioningRefused(str(refusal)) from refusal

    async def delete(self, ref: NamespaceRef) -> None:
        await self._ask("DeleteNamespace", cell_pb2.DeleteNamespaceRequest(id=ref.id))

    async def read_facts(self, after_position: int, limit: int) -> Sequence[FactRow]:
        request = cell_pb2.ReadFactsRequest(after_position=after_position, limit=limit)
        answer = cell_pb2.ReadFactsResponse.FromString(await self._ask("ReadFacts", request))
        return [
            FactRow(self.cell_id, row.shard_id, row.sequence, row.position, row.blob)
            for row in answer.rows
        ]

    async def delete_facts(self, up_to_position: int) -> None:
        """For what billing has taken over."""
        request = cell_pb2.DeleteFactsRequest(up_to_position=up_to_position)
        await self._ask("DeleteFacts", request)

    async def _ask(self, method: str, request: Message) -> bytes:
        call = Call("", "", "control-plane", CALL_SECONDS)
        return await self._call(CELL_SERVICE + method, request.SerializeToString(), call)


class CellLinks:
    """Tenancy's Provisioner for all cells: each namespace is a matter of its own one."""

    def __init__(self, cells: Cells) -> None:
        self._links = {id: CellLink(id, cells.of(id)) for id in cells}

    def __iter__(self) -> Iterator[CellLink]:
        return iter(self._links.values())

    async def create(self, ref: NamespaceRef, settings: NamespaceSettings) -> None:
        await self._of(ref).create(ref, settings)

    async def delete(self, ref: NamespaceRef) -> None:
        await self._of(ref).delete(ref)

    def _of(self, ref: NamespaceRef) -> CellLink:
        link = self._links.get(ref.cell)
        if link is None:
            raise Unavailable("the cell is none of those that are given", cell=ref.cell)
        return link
