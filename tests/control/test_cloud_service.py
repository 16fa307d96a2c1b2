from __future__ import annotations

from datetime import UTC, datetime

from api.catalogue import CATALOGUE, Plane
from api.cloud.namespace.spec import TYPES
from api.cloud.operation.message import STATES as OPERATION_STATES
from api.cloud.service import HANDLERS
from api.cloud.user.message import ROLES, user_message
from tenancy import (
    AccountRole,
    OperationState,
    Permission,
    SearchAttributeType,
    User,
)
from tests.control.visitor import Site


def test_every_method_of_the_control_plane_has_its_handler() -> None:
    served = {name for name, row in CATALOGUE.items() if row.plane is Plane.CONTROL}
    assert HANDLERS.keys() == served


def test_every_word_of_tenancy_has_one_in_the_api() -> None:
    assert TYPES.keys() == set(SearchAttributeType)
    assert OPERATION_STATES.keys() == set(OperationState)
    assert ROLES.keys() == set(AccountRole)


def test_a_grant_in_a_deleted_namespace_is_not_told() -> None:
    grants = {"ns-1": Permission.ADMIN, "ns-2": Permission.READ}
    joined_at = datetime(2026, 3, 1, tzinfo=UTC)
    user = User(id="ada", email="", role=AccountRole.DEVELOPER, created_at=joined_at)
    told = user_message(user, grants, {"ns-2": "orders.acme"})
    assert list(told.spec.access.namespace_accesses) == ["orders.acme"]


async def test_what_is_not_offered_is_said_to_be_so(site: Site) -> None:
    owner = await site.owner()
    answer = await owner.call("GET", "/cloud/nexus/endpoints")
    assert (answer.status_code, answer.json()["code"]) == (501, 12)


async def test_nothing_is_answered_without_a_credential(site: Site) -> None:
    for path in ("namespaces", "api-keys", "users", "account", "usage", "regions", "operations/x"):
        assert (await site.stranger().call("GET", f"/cloud/{path}")).status_code == 401


async def test_an_account_and_its_users_are_told_to_its_own(site: Site) -> None:
    ada, bob = await site.owner(), await site.owner()
    assert (await ada.get("/cloud/account"))["account"]["id"] == ada.account_id
    (user,) = (await ada.get("/cloud/users"))["users"]
    assert user["spec"]["email"] == ada.email
    assert user["spec"]["access"]["accountAccess"]["role"] == "ROLE_OWNER"
    assert (await ada.get(f"/cloud/users/{user['id']}"))["user"] == user
    assert (await bob.call("GET", f"/cloud/users/{user['id']}")).status_code == 404
    identity = await site.program(await ada.key()).get("/cloud/current-identity")
    assert identity["user"] == user
    assert identity["principalApiKey"]["spec"]["displayName"] == "ci"


async def test_there_is_one_region(site: Site) -> None:
    owner = await site.owner()
    (region,) = (await owner.get("/cloud/regions"))["regions"]
    assert (await owner.get(f"/cloud/regions/{region['id']}"))["region"] == region
    assert (await owner.call("GET", "/cloud/regions/moon")).status_code == 404
