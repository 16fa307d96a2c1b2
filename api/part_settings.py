"""The settings of the cloud's parts as processes: who they are and where they meet."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

from api.wire.lines import parsed
from tenancy import CellPlace
from tenancy.placement import CELL_DEFAULT, CELL_NAME, ONE_CELL, REGION_DEFAULT

CELLS_MAX = 16
CELL_MAP_VARIABLE = "PERDURE_CELL_MAP"
LISTEN_VARIABLE = "PERDURE_LISTEN"
CONTROL_PLANE_VARIABLE = "PERDURE_CONTROL_PLANE"


@dataclass(frozen=True, slots=True)
class PartSettings:
    """An empty address is the socket of a part's name in the data directory.

    `cells` is how many `up --processes` runs, None for as many as there were. `places` are the
    cells that a control plane has, and that a frontend asks which knows of none. `sockets` are the
    listening ones that a frontend inherits from who watches it: the plain one and, where TLS is
    spoken, the one for that.
    """

    cells: int | None
    cell_id: str
    listen: str
    control_plane: str
    places: tuple[CellPlace, ...]
    sockets: tuple[int, ...]


def add_arguments(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    parser.add_argument(
        "--cells", type=_count, help=f"with --processes: how many cells, up to {CELLS_MAX}"
    )
    parser.add_argument(
        "--cell", type=_name, default=CELL_DEFAULT, help="with cell: its name, as cell-2"
    )
    parser.add_argument(
        "--listen",
        type=_address,
        metavar="HOST:PORT",
        default=environment.get(LISTEN_VARIABLE, ""),
        help="with cell and control-plane: let other machines in, by mutual TLS under the"
        f" installation's secrets; else a socket in the directory (also: {LISTEN_VARIABLE})",
    )
    parser.add_argument(
        "--control-plane",
        type=_address,
        metavar="HOST:PORT",
        default=environment.get(CONTROL_PLANE_VARIABLE, ""),
        help=f"with frontend: where it listens (also: {CONTROL_PLANE_VARIABLE})",
    )
    parser.add_argument(
        "--cell-map",
        type=_places,
        metavar="CELL=REGION[@HOST:PORT],…",
        default=environment.get(CELL_MAP_VARIABLE) or ONE_CELL,
        help="with control-plane and frontend: the cells that there are"
        f" (also: {CELL_MAP_VARIABLE})",
    )
    parser.add_argument("--sockets", type=_sockets, default=(), help=argparse.SUPPRESS)


def part_settings(given: argparse.Namespace) -> PartSettings:
    return PartSettings(
        cells=given.cells,
        cell_id=given.cell,
        listen=given.listen,
        control_plane=given.control_plane,
        places=given.cell_map,
        sockets=given.sockets,
    )


def cells_named(count: int) -> tuple[CellPlace, ...]:
    """The cells that `up --processes` runs on one machine."""
    return tuple(CellPlace(f"cell-{number}") for number in range(1, count + 1))


def map_told(places: tuple[CellPlace, ...]) -> str:
    """What `--cell-map` reads."""
    return ",".join(
        f"{it.id}={it.region}" + (f"@{it.address}" if it.address else "") for it in places
    )


def _places(text: str) -> tuple[CellPlace, ...]:
    places = tuple(map(_place, filter(None, text.split(","))))
    if len({place.id for place in places}) != len(places) or not places:
        raise argparse.ArgumentTypeError("a cell map names one cell at least, and none twice")
    return places


def _place(text: str) -> CellPlace:
    cell_id, _, rest = text.strip().partition("=")
    region, _, address = rest.partition("@")
    return CellPlace(_name(cell_id), _name(region or REGION_DEFAULT), _address(address))


def _name(text: str) -> str:
    if CELL_NAME.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name: give 2 to 32 lower-case letters, digits and hyphens"
        )
    return text


def _address(text: str) -> str:
    try:
        if text:
            parsed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _sockets(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _count(text: str) -> int:
    count = int(text) if text.isascii() and text.isdecimal() else 0
    if not 1 <= count <= CELLS_MAX:
        raise argparse.ArgumentTypeError(f"there are 1 to {CELLS_MAX} cells")
    return count
