"""What a page shows to whom; that all of it is right is for tests/control/test_forms.py."""

from __future__ import annotations

import re

import pytest

from tenancy import Access, Permission
from tenancy.roles import ADMIN_OF_ALL_NAMESPACES
from tests.house.tree import ROOT
from tests.web.conftest import Visitor
from tests.web.fake_cloud import NAMESPACE, FakeCloud
from tests.web.fake_people import INVITED, ME, MEMBER
from tests.web.histories import RUN_ID
from tests.web.markup import Page
from web.pages.keys import PERMISSIONS
from web.pages.members import ADMINISTER_ALL, ROLES

HOME = f"/namespaces/{NAMESPACE}"
ASKED = re.compile(r"""\bmay\(["'](\w+)["']\)""")
COMPARED = re.compile(r"\brole\b *(==|!=|in\b|not in\b)")
SHOWN_BY_ROLE = {
    "owner": {"/usage", "/budgets", "/billing"},
    "finance_admin": {"/usage", "/budgets", "/billing"},
    "admin": {"/usage"},
    "developer": set(),
    "read": set(),
}


def forms(page: Page) -> list[str]:
    actions = [form.attributes["action"] for form in page.all("form", method="post")]
    return [action for action in actions if action != "/logout"]


@pytest.fixture
def reader(cloud: FakeCloud, user: Visitor) -> Visitor:
    cloud.role, cloud.permission = "read", Permission.READ
    return user


def test_pages_ask_for_access_by_the_names_that_there_are() -> None:
    sources = [*(ROOT / "web").rglob("*.html"), *(ROOT / "web").rglob("*.py")]
    asked = {name for path in sources for name in ASKED.findall(path.read_text(encoding="utf-8"))}
    assert len(asked) > 5
    assert asked | PERMISSIONS.keys() <= set(Access)


def test_no_template_decides_by_the_name_of_a_role() -> None:
    templates = (ROOT / "web").rglob("*.html")
    assert not [it.name for it in templates if COMPARED.search(it.read_text(encoding="utf-8"))]


def test_the_console_knows_which_roles_administer_every_namespace() -> None:
    assert {f"ROLE_{role.name}" for role in ADMIN_OF_ALL_NAMESPACES} == ADMINISTER_ALL
    assert ROLES.keys() > ADMINISTER_ALL


@pytest.mark.parametrize("role", SHOWN_BY_ROLE)
async def test_the_menu_leads_nowhere_that_a_role_may_not_go(
    cloud: FakeCloud, user: Visitor, role: str
) -> None:
    cloud.role = role
    links = set((await user.page("/namespaces")).links())
    assert links & SHOWN_BY_ROLE["owner"] == SHOWN_BY_ROLE[role]
    assert {"/namespaces", "/members", "/security"} <= links


async def test_who_may_read_certificates_sees_them_and_no_form(reader: Visitor) -> None:
    page = await reader.page(f"{HOME}/certificates")
    assert not forms(page)
    for text in ("CN=Acme root", "cdcdcdcdcdcdcdcd…", "3 revoked", "Out of date"):
        assert text in page.text


@pytest.mark.parametrize(
    ("permission", "offered"),
    [
        (Permission.ADMIN, ["write", "worker", "read"]),
        (Permission.WRITE, ["write", "worker", "read"]),
        (Permission.READ, ["read"]),
    ],
)
async def test_a_key_is_offered_no_more_than_its_maker_may_do(
    cloud: FakeCloud, user: Visitor, permission: Permission, offered: list[str]
) -> None:
    cloud.role, cloud.permission = "developer", permission
    page = await user.page(f"{HOME}/keys")
    choices = next(page.one("form", action=f"{HOME}/keys").all("select", name="permission"))
    assert [each.attributes["value"] for each in choices.all("option")] == offered


async def test_who_may_only_read_a_workflow_is_offered_nothing_to_do_to_it(
    reader: Visitor,
) -> None:
    page = await reader.page(f"{HOME}/workflows/order-1042/{RUN_ID}")
    assert not forms(page)
    assert not page.all("dialog")
    assert not [each for each in page.all("button") if "data-opens" in each.attributes]


async def test_a_member_finds_the_way_out_of_the_account(reader: Visitor) -> None:
    assert f"/members/{ME}" in (await reader.page("/members")).links()
    assert forms(await reader.page(f"/members/{ME}")) == [f"/members/{ME}/remove"]
    other = await reader.page(f"/members/{MEMBER}")
    assert not forms(other)
    assert f"{NAMESPACE} Write" in other.text


async def test_who_has_not_confirmed_an_address_sends_no_invitation(
    cloud: FakeCloud, user: Visitor
) -> None:
    again = f"/members/{INVITED}/send"
    assert again in forms(await user.page("/members"))
    cloud.is_email_verified = False
    page = await user.page("/members")
    assert again not in forms(page)
    assert "Confirm your own e-mail address first" in page.text
