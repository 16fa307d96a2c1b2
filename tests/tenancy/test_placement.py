"""Which cell a new namespace gets."""

from __future__ import annotations

import pytest

from tenancy import CellPlace, InvalidField
from tenancy.placement import ONE_CELL, Placement
from tests.tenancy.cloud import Cloud

TWO = (CellPlace("cell-1"), CellPlace("cell-2"))
REGIONS = (*TWO, CellPlace("cell-3", "eu"))


@pytest.mark.parametrize(
    ("region", "counts", "placed"),
    [
        (None, {}, "cell-1"),
        (None, {"cell-1": 1}, "cell-2"),
        (None, {"cell-1": 1, "cell-2": 1}, "cell-1"),
        (None, {"cell-1": 9, "cell-2": 9, "cell-3": 0}, "cell-1"),
        ("eu", {"cell-3": 99}, "cell-3"),
        ("local", {"cell-1": 2, "cell-2": 1, "gone": 0}, "cell-2"),
    ],
)
def test_a_namespace_goes_where_its_region_has_the_fewest(
    region: str | None, counts: dict[str, int], placed: str
) -> None:
    assert Placement(REGIONS).place(region, counts).id == placed


def test_a_region_without_a_cell_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidField, match="'local', 'eu'"):
        Placement(REGIONS).place("us", {})
    assert Placement().cells == {cell.id: cell for cell in ONE_CELL}


async def test_namespaces_spread_over_the_cells_and_stay_where_they_are(cloud: Cloud) -> None:
    owner = await cloud.owner()
    cloud.control.placement.cells = {cell.id: cell for cell in REGIONS}
    refs = [await cloud.namespace(owner, f"orders-{number}") for number in range(4)]
    assert [ref.cell for ref in refs] == ["cell-1", "cell-2", "cell-1", "cell-2"]
    async with cloud.control.acting(owner) as session:
        operation = await cloud.control.namespaces.create(session, owner, "far", region="eu")
        found = await cloud.control.namespaces.get(session, owner, operation.resource_id)
        assert (found.cell, found.region) == ("cell-3", "eu")
