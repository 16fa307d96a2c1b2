"""ReadMeasures: what the namespaces of one account did in the last full minute."""

from __future__ import annotations

from engine.call import Call
from engine.cell import remote
from engine.cell.gauges import of_namespaces
from engine.cell.services import Services
from engine.handlers.handler import CELL_SERVICE, Handler, anywhere
from engine.measures import NamespaceMeasures, Window, decode, encode
from engine.protocol.cell_pb2 import ReadMeasuresRequest, ReadMeasuresResponse


async def handle(
    services: Services, request: ReadMeasuresRequest, call: Call
) -> ReadMeasuresResponse:
    here = of_namespaces(request.namespace_ids, services.measures, services.dispatcher.matching)
    elsewhere = await services.elsewhere(remote.MEASURES, request.SerializeToString())
    if not elsewhere:
        return ReadMeasuresResponse(measures=encode(here))
    # The window of this node is still read by others: what is added up is added to a new one.
    whole = {told.namespace_id: NamespaceMeasures(told.namespace_id, Window(), []) for told in here}
    for told in (*here, *(one for part in elsewhere for one in decode(part))):
        whole[told.namespace_id].window.add(told.window)
        whole[told.namespace_id].waiting += told.waiting
    return ReadMeasuresResponse(measures=encode(list(whole.values())))


HANDLER = Handler(
    CELL_SERVICE + "ReadMeasures", ReadMeasuresRequest, anywhere, handle, in_namespace=False
)
