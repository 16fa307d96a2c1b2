"""The cells behind wires: a client for each, also for those that are named later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from api.cells import Cells
from api.telemetry import Telemetry
from api.wire.cell import open_cell_client
from api.wire.lines import Lines
from tenancy import CellPlace


class CellClients(Cells):
    """Cells by their places."""

    def __init__(self, lines: Lines, telemetry: Telemetry | None) -> None:
        super().__init__({})
        self._lines = lines
        self._telemetry = telemetry
        self._open: dict[str, tuple[CellPlace, AsyncExitStack]] = {}

    async def adopt(self, places: Sequence[CellPlace]) -> None:
        """From here on these are the cells. One that moved gets another client."""
        wanted = {place.id: place for place in places}
        for id, (place, _) in tuple(self._open.items()):
            if wanted.get(id) != place:
                await self._close(id)
        for id, place in wanted.items():
            if id not in self._open:
                stack = AsyncExitStack()
                connect = self._lines.to(id, place.address)
                client = open_cell_client(id, connect, self._telemetry)
                self._cells[id] = await stack.enter_async_context(client)
                self._open[id] = place, stack

    async def close(self) -> None:
        for id in tuple(self._open):
            await self._close(id)

    async def _close(self, id: str) -> None:
        _, stack = self._open.pop(id)
        self._cells.pop(id)
        await stack.aclose()


@asynccontextmanager
async def open_cell_clients(
    lines: Lines, places: Sequence[CellPlace], telemetry: Telemetry | None
) -> AsyncIterator[CellClients]:
    """The cells of these places, and whichever are adopted later."""
    cells = CellClients(lines, telemetry)
    try:
        await cells.adopt(places)
        yield cells
    finally:
        await cells.close()
