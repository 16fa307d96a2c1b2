"""Every page, looked at by everybody there is: what it offers is what would not be refused."""

from __future__ import annotations

import base64
from urllib.parse import unquote

import pytest

from tests.control.test_roles_at_the_doors import (
    FIELDS,
    ORDER,
    PAGES,
    SESSION,
    address_of,
    callers,
    may,
    opened,
    shown,
)
from tests.control.visitor import Json, Site, Visitor, member_spec
from tests.tls.pki import authority, revocation_list
from tests.web.markup import Page
from web.app import ROUTES

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)

FOR_EVERYBODY_SOMETIME = {
    "POST /security/proof",
    "POST /security/authenticator/confirm",
    "POST /security/authenticator/codes",
    "POST /security/authenticator/remove",
    "POST /security/sessions/{session}/end",
}
"""Forms of one's own login, which a user without second factor or other sessions does not see."""

OF_A_PROVIDER = "POST /single-sign-on/"
"""How forms begin that only an account with single sign-on has."""

Form = tuple[str, str]
"""The page that a form is sent to, and which of its actions it asks for."""


def form_of(action: str) -> Form:
    path = unquote(action)
    for route in ROUTES:
        found = route.path_regex.fullmatch(path)
        if found and "POST" in (route.methods or ()):
            return f"POST {route.path}", found.groupdict().get("action", "")
    raise AssertionError(f"no route takes the form {action}")


async def looked_at(visitor: Visitor, address: str) -> Page | None:
    """The page, if the visitor may open it."""
    answer = await visitor.http.get(address, headers={"accept": "text/html"})
    return Page(answer.text) if answer.status_code == 200 else None


def forms_on(page: Page | None) -> set[Form]:
    if page is None:
        return set()
    actions = [form.attributes["action"] for form in page.all("form", method="post")]
    actions += [each.attributes.get("formaction", "") for each in page.all("button")]
    return {form_of(action) for action in actions if action not in ("", "/logout")}


async def furnished(site: Site, owner: Visitor) -> dict[str, str]:
    """Names of an account that has one of everything, as addresses of pages call them."""
    root = authority()
    bundle = base64.b64encode(root.pem.encode()).decode()
    trust: Json = {"enabled": True, "acceptedClientCa": bundle}
    namespace = await owner.namespace(mtlsAuth=trust)
    lost = {"namespace": namespace, "fingerprint": FIELDS["fingerprint"]}
    await owner.post("/api/v1/denied-certificates", lost)
    told = {"namespace": namespace, "revocation_list": revocation_list(root)}
    await owner.post("/api/v1/revocation-lists", told)
    run = await owner.post(f"/api/v1/namespaces/{namespace}/workflows/order-7", ORDER)
    wanted = {"name": "all", "amount": "5", "webhook_url": "https://example.com/hook"}
    budget = await owner.post("/api/v1/budgets", wanted)
    await owner.post("/cloud/users", {"spec": member_spec(site.new_email(), "ROLE_READ")})
    colleague = await site.member(owner, "ROLE_READ")
    return {
        "namespace": namespace,
        "workflow": "order-7",
        "run": run["runId"],
        "budget": budget["budget"]["id"],
        "member": (await colleague.get("/api/v1/session"))["user_id"],
    }


@pytest.mark.ci
async def test_every_page_shows_the_forms_that_its_visitor_may_send(site: Site) -> None:
    owner = await site.verified_owner()
    named, table = await furnished(site, owner), shown()
    people = await callers(site, owner, named["namespace"])
    people = {who: caller for who, caller in people.items() if caller.is_person}
    for caller in people.values():
        # All have something to revoke: the list of keys is of the account.
        await caller.visitor.key(namespaces={f"archive.{owner.account_id}": "read"})
    offered = {
        page: forms_on(await looked_at(owner, address_of(page, named)))
        for page in PAGES
        if page.startswith("GET ")
    }
    seen = {sent_to for forms in offered.values() for sent_to, _ in forms}
    unseen = {page for page in PAGES.keys() - seen if page.startswith("POST ")}
    assert {page for page in unseen if not page.startswith(OF_A_PROVIDER)} == (
        FOR_EVERYBODY_SOMETIME
    )
    assert {table[PAGES[page]][0] for page in FOR_EVERYBODY_SOMETIME} == {SESSION}
    wrong = []
    for who, caller in people.items():
        for page, forms in offered.items():
            is_open = may(table[PAGES[page]], caller)
            expected = {it for it in forms if is_open and may(table[PAGES[it[0]]], caller)}
            found = forms_on(await looked_at(caller.visitor, address_of(page, named)))
            wrong += [f"{who} misses {it} on {page}" for it in expected - found]
            wrong += [f"{who} is shown {it} on {page}" for it in found - expected]
    assert not wrong, "\n".join(wrong)


async def test_an_admin_is_shown_no_way_to_make_or_unmake_an_owner(site: Site) -> None:
    owner = await site.verified_owner()
    admin = await site.member(owner, "ROLE_ADMIN")
    named = {"namespace": "", "member": (await owner.get("/api/v1/session"))["user_id"]}
    assert not forms_on(await looked_at(admin, f"/members/{named['member']}"))
    assert await opened(admin, "POST /members/{member}/remove", named) == 403
    for visitor, expected in ((owner, True), (admin, False)):
        page = await looked_at(visitor, "/members")
        assert page is not None
        assert bool(page.all("option", value="ROLE_OWNER")) == expected
