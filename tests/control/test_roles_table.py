"""The page of roles is what the doors do."""

from __future__ import annotations

import re

from api.catalogue import CATALOGUE, Plane
from api.control.access import ROUTES
from api.roles_document import OF_ONE_RESOURCE, roles_document
from tenancy import Access, AccountRole, permits
from tenancy.roles import NAMESPACE_ACCESS, Principal, PrincipalKind
from tests.control.visitor import Site, Visitor
from tests.house.tree import ROOT

BY_HANDLER = {Access.PUBLIC, Access.SESSION, *NAMESPACE_ACCESS}


def test_the_page_is_current() -> None:
    shown = (ROOT / "docs" / "roles.md").read_text(encoding="utf-8")
    assert shown == roles_document(), "run ./dev python -m api.roles_document > docs/roles.md"


def test_every_open_row_of_the_catalogue_has_its_place_on_the_page() -> None:
    opened = {name.rpartition(".")[2] for name, row in CATALOGUE.items() if row.is_open}
    assert opened == OF_ONE_RESOURCE.keys()


def test_every_served_method_and_every_route_is_on_the_page() -> None:
    page = roles_document()
    served = [name for name, row in CATALOGUE.items() if row.plane is not Plane.NONE]
    missing = [name for name in served if f"| `{name.rpartition('.')[2]}` |" not in page]
    missing += [f"{verb} {path}" for verb, path in ROUTES if f"`{verb} {path}`" not in page]
    # What the cloud's own parts say to each other is behind no door.
    assert all("cell" in name.lower() for name in missing), missing


def may(role: AccountRole, access: Access) -> bool:
    return permits(Principal(PrincipalKind.USER, "u", "a", role), access, None)


async def called(visitor: Visitor, verb: str, path: str) -> int:
    answer = await visitor.call(
        verb, re.sub(r"\{[^}]+\}", "x", path), {} if verb != "GET" else None
    )
    return answer.status_code


async def test_every_route_lets_in_whom_the_table_says(site: Site) -> None:
    owner = await site.verified_owner()
    people = {AccountRole.OWNER: owner}
    for role in set(AccountRole) - people.keys():
        people[role] = await site.member(owner, f"ROLE_{role.name}")
    wrong = []
    for (verb, path), row in ROUTES.items():
        if not BY_HANDLER.isdisjoint(row.access):
            continue
        for role, visitor in people.items():
            is_denied = await called(visitor, verb, path) == 403
            if is_denied == any(may(role, access) for access in row.access):
                wrong.append((verb, path, role))
    assert not wrong


async def test_a_stranger_reaches_what_is_public_and_nothing_else(site: Site) -> None:
    let_in = set()
    for verb, path in ROUTES:
        if await called(site.stranger(), verb, path) not in (401, 403):
            let_in.add((verb, path))
    public = {route for route, row in ROUTES.items() if Access.PUBLIC in row.access}
    assert let_in == public
