"""Where namespaces live: the cells of an installation as data, and the choice among them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tenancy.errors import InvalidField

CELL_DEFAULT = "cell-1"
REGION_DEFAULT = "local"
CELL_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]")
"""Of a cell or a region: it becomes a part of file names."""


@dataclass(frozen=True, slots=True)
class CellPlace:
    """`address` is where the cell listens; an empty one is known to its own machine without."""

    id: str = CELL_DEFAULT
    region: str = REGION_DEFAULT
    address: str = ""


ONE_CELL = (CellPlace(),)


class Placement:
    """Places each new namespace in the cell of its region that has the fewest."""

    def __init__(self, cells: Sequence[CellPlace] = ONE_CELL) -> None:
        assert cells, "a cloud without a cell has no place for a namespace"
        self.cells: Mapping[str, CellPlace] = {cell.id: cell for cell in cells}

    @property
    def regions(self) -> tuple[str, ...]:
        """In the order in which the cells are given; the first is where no region is named."""
        return tuple(dict.fromkeys(cell.region for cell in self.cells.values()))

    def place(self, region: str | None, counts: Mapping[str, int]) -> CellPlace:
        """`counts` are the namespaces of each cell by now. Raises InvalidField."""
        region = region or self.regions[0]
        candidates = [cell for cell in self.cells.values() if cell.region == region]
        if not candidates:
            known = ", ".join(map(repr, self.regions))
            raise InvalidField("spec.regions", f"must be one of {known}", "or leave it out")
        return min(candidates, key=lambda cell: counts.get(cell.id, 0))
