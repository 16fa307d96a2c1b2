"""The cloud in its parts, as processes are, but in this one: each can be stopped and started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from api.cells import open_cell
from api.composition import Cloud, CloudSettings, open_control_plane
from api.frontend import Frontend, open_frontend
from api.installation import Installation, installation
from api.office import ControlOffice
from api.wire import cell as cell_wire
from api.wire import control as control_wire
from api.wire.cells import open_cell_clients
from api.wire.lines import CONTROL_PLANE, FRONTEND, Lines
from api.wire.server import Service, WireServer
from engine.persistence.sqlite import SqliteStore
from tenancy import CellPlace
from tests.control.visitor import ADDRESS, Site

CONTROL, DOOR = "control plane", "frontend"
CELLS = ("cell-1", "cell-2")
LOOKS_MAX = 3_000
LOOK_AGAIN_SECONDS = 0.01


@asynccontextmanager
async def listening(lines: Lines, service: Service) -> AsyncIterator[None]:
    server = WireServer(service)
    listener = await lines.listen("", server.protocol)
    try:
        yield
    finally:
        listener.close()
        await server.drain(0)


@dataclass
class Parts:
    """`frontend` and `control` are those that were started last."""

    held: Installation
    places: Sequence[CellPlace]
    frontend: Frontend = field(init=False)
    control: Cloud = field(init=False)
    _running: dict[str, AsyncExitStack] = field(default_factory=dict)

    @property
    def site(self) -> Site:
        """For visitors of the frontend."""
        # Of a cloud, visitors use what a frontend has as well.
        return Site(cast(Cloud, self.frontend))

    async def start(self, name: str) -> None:
        """A cell by its id, or one of the other two."""
        stack = self._running[name] = AsyncExitStack()
        if name == CONTROL:
            await self._start_control(stack)
        elif name == DOOR:
            lines = Lines(self.held, FRONTEND)
            opened = open_frontend(self.held, lines, control_plane="")
            self.frontend = await stack.enter_async_context(opened)
        else:
            store = SqliteStore(self.held.store_file(name))
            cell = await stack.enter_async_context(open_cell(self.held, store))
            lines = Lines(self.held, name)
            await stack.enter_async_context(listening(lines, cell_wire.served(cell)))

    async def stop(self, name: str) -> None:
        await self._running.pop(name).aclose()

    async def stop_all(self) -> None:
        for name in (DOOR, CONTROL, *CELLS):
            if name in self._running:
                await self.stop(name)

    async def ready(self) -> None:
        """The frontend knows all and can reach all."""
        for _ in range(LOOKS_MAX):
            if not (self.frontend.snapshot.problem or self.frontend.cells.health.problem):
                return
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        raise AssertionError("the parts did not find each other")

    async def _start_control(self, stack: AsyncExitStack) -> None:
        lines = Lines(self.held, CONTROL_PLANE)
        cells = await stack.enter_async_context(open_cell_clients(lines, self.places, None))
        opened = open_control_plane(
            self.held, cells, CloudSettings(ADDRESS), places=self.places, is_listening=False
        )
        self.control = await stack.enter_async_context(opened)
        office = ControlOffice(
            self.control.control, self.control.database, pepper=self.held.secrets.pepper
        )
        service = control_wire.served(office, self.control.app)
        await stack.enter_async_context(listening(lines, service))


@asynccontextmanager
async def in_parts(data: Path) -> AsyncIterator[Parts]:
    """All of them running, with two cells."""
    with installation(data) as held:
        parts = Parts(held, [CellPlace(id) for id in CELLS])
        try:
            for name in (*CELLS, CONTROL, DOOR):
                await parts.start(name)
            await parts.ready()
            yield parts
        finally:
            await parts.stop_all()
