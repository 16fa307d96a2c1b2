"""Every operation, called as everybody there is: who is let in is what the page of roles says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import pytest

from api.catalogue import METHODS
from tenancy import AccountRole, Permission
from tests.control.visitor import Json, Site, Visitor, member_spec
from tests.house.tree import ROOT
from web.app import NAMESPACE, ROUTES

ROW = re.compile(r"\| `([^`]+)`(?: \([^)]*\))? \|(.*)\|")
MARK, EVERYBODY, SESSION = "●", "everybody", "session"
LAST = ("POST /api/v1/logout",)
"""Ends the session that others need."""

REFUSED = frozenset((HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN))


@dataclass(frozen=True)
class Caller:
    """Who may do what any of these columns of the page has."""

    visitor: Visitor
    is_person: bool
    columns: tuple[int, ...]


def shown() -> dict[str, list[str]]:
    """The cells of each operation, as docs/roles.md has them."""
    text = (ROOT / "docs" / "roles.md").read_text(encoding="utf-8")
    rows = {row[1]: [cell.strip() for cell in row[2].split("|")] for row in ROW.finditer(text)}
    assert all(len(cells) == len(AccountRole) + len(Permission) for cells in rows.values())
    return dict(sorted(rows.items(), key=lambda row: row[0] in LAST))


def may(cells: list[str], caller: Caller) -> bool:
    if cells[0] == EVERYBODY:
        return True
    if cells[0] == SESSION:
        return caller.is_person
    return any(cells[column] == MARK for column in caller.columns)


async def callers(site: Site, owner: Visitor, namespace: str) -> dict[str, Caller]:
    """A member for each role, and for each permission a key and a member who may read the account.

    Members have access to another namespace, which must count for nothing in this one.
    """
    found, roles = {}, list(AccountRole)
    elsewhere = {await owner.namespace("archive"): "PERMISSION_ADMIN"}
    for column, role in enumerate(roles):
        is_owner = role is AccountRole.OWNER
        name = f"ROLE_{role.name}"
        visitor = owner if is_owner else await site.member(owner, name, **elsewhere)
        found[role.value] = Caller(visitor, True, (column,))
    for column, permission in enumerate(Permission, len(roles)):
        key = await owner.key(namespaces={namespace: permission})
        found[f"key to {permission}"] = Caller(site.program(key), False, (column,))
        if permission is not Permission.WORKER:
            granted = {**elsewhere, namespace: f"PERMISSION_{permission.name}"}
            visitor = await site.member(owner, "ROLE_READ", **granted)
            columns = (roles.index(AccountRole.READ), column)
            found[f"member with {permission}"] = Caller(visitor, True, columns)
    return found


BY_NAME = {method.name: method for method in METHODS.values()}

_VERSION = {"resourceVersion": "999"}
_USER = {"userId": "x", **_VERSION}
_KEY = {"keyId": "x", **_VERSION}
_SPEC = member_spec("new@example.com", "ROLE_READ")

BODIES: Mapping[str, Json] = {
    "GetCurrentIdentity": {},
    "GetUsers": {},
    "GetUser": {"userId": "x"},
    "CreateUser": {"spec": _SPEC},
    "UpdateUser": {**_USER, "spec": _SPEC},
    "DeleteUser": _USER,
    "SetUserNamespaceAccess": {**_USER, "access": {"permission": "PERMISSION_READ"}},
    "GetAsyncOperation": {"asyncOperationId": "x"},
    "CreateNamespace": {"spec": {"name": "another", "retentionDays": 1}},
    "GetNamespaces": {},
    "UpdateNamespace": {**_VERSION, "spec": {"name": "orders", "retentionDays": 1}},
    "DeleteNamespace": _VERSION,
    "GetRegions": {},
    "GetRegion": {"region": "x"},
    "GetApiKeys": {},
    "GetApiKey": {"keyId": "x"},
    "CreateApiKey": {"spec": {"displayName": "x"}},
    "UpdateApiKey": {**_KEY, "spec": {"displayName": "x"}},
    "DeleteApiKey": _KEY,
    "GetUsage": {},
    "GetAccount": {},
    "POST /api/v1/denied-certificates": {"fingerprint": "ab" * 32},
    "POST /api/v1/revocation-lists": {"revocation_list": "x"},
}
"""What is read before it is known who may: a request that makes sense, about nothing there is."""

HIDDEN = ("GET /api/v1/usage",)
"""Tells whom it refuses that there is no such namespace."""


async def called(visitor: Visitor, operation: str, namespace: str) -> int:
    """Asked for with no more than must be: who asks decides whether it is refused with 403."""
    named, body = {"namespace": namespace}, BODIES.get(operation, {})
    verb, _, path = operation.partition(" ")
    if not path:
        method = BY_NAME[operation]
        told = {**body, **named} if "namespace" in method.input_type.fields_by_name else body
        address = f"/{method.containing_service.full_name}/{operation}"
        return (await visitor.call("POST", address, told)).status_code
    path = re.sub(r"\{[^}]+\}", "ab" * 32, path)
    if verb in ("GET", "DELETE"):
        return (await visitor.call(verb, path, **named)).status_code
    return (await visitor.call(verb, path, {**body, **named})).status_code


@pytest.mark.ci
async def test_every_operation_lets_in_whom_the_page_says(site: Site) -> None:
    owner = await site.verified_owner()
    namespace = await owner.namespace()
    people = await callers(site, owner, namespace)
    wrong = []
    for operation, cells in shown().items():
        for who, caller in people.items():
            status = await called(caller.visitor, operation, namespace)
            is_refused = status in REFUSED or (status == 404 and operation in HIDDEN)
            if is_refused == may(cells, caller):
                wrong.append(f"{operation} as {who}: {status}")
    assert not wrong, "\n".join(wrong)


RUN_PAGE = NAMESPACE + "/workflows/{workflow:path}/{run}"
A_KEY_THAT_READS, A_KEY_THAT_WRITES = "ListWorkflowExecutions", "StartWorkflowExecution"
"""Whoever makes a key may do all that the key may."""

PAGES: Mapping[str, str] = {
    "GET /namespaces": "GetNamespaces",
    "POST /namespaces": "CreateNamespace",
    f"GET {NAMESPACE}": "DescribeNamespace",
    f"POST {NAMESPACE}": A_KEY_THAT_WRITES,
    f"POST {NAMESPACE}/delete": "DeleteNamespace",
    f"GET {NAMESPACE}/keys": "GetApiKeys",
    f"POST {NAMESPACE}/keys": A_KEY_THAT_READS,
    f"POST {NAMESPACE}/keys/{{key}}/revoke": "DeleteApiKey",
    f"GET {NAMESPACE}/certificates": "GET /api/v1/client-certificates",
    f"POST {NAMESPACE}/certificates": "UpdateNamespace",
    f"POST {NAMESPACE}/certificates/denied": "POST /api/v1/denied-certificates",
    f"POST {NAMESPACE}/certificates/denied/{{fingerprint}}/allow": (
        "DELETE /api/v1/denied-certificates/{fingerprint}"
    ),
    f"POST {NAMESPACE}/certificates/revocation-lists": "POST /api/v1/revocation-lists",
    f"POST {NAMESPACE}/certificates/revocation-lists/{{authority}}/remove": (
        "DELETE /api/v1/revocation-lists/{authority}"
    ),
    f"GET {NAMESPACE}/workflows": "ListWorkflowExecutions",
    f"GET {RUN_PAGE}": "DescribeWorkflowExecution",
    f"POST {RUN_PAGE}/{{action}}": "TerminateWorkflowExecution",
    "GET /usage": "GET /api/v1/usage/cost",
    "GET /budgets": "GET /api/v1/budgets",
    "POST /budgets": "POST /api/v1/budgets",
    "GET /budgets/{budget}": "GET /api/v1/budgets/{budget_id}",
    "POST /budgets/{budget}": "PUT /api/v1/budgets/{budget_id}",
    "POST /budgets/{budget}/delete": "DELETE /api/v1/budgets/{budget_id}",
    "POST /budgets/{budget}/webhook-secret": "POST /api/v1/budgets/{budget_id}/webhook-secret",
    "POST /budgets/{budget}/webhook-test": "POST /api/v1/budgets/{budget_id}/webhook-test",
    "GET /members": "GetUsers",
    "POST /members": "CreateUser",
    "GET /members/{member}": "GetUser",
    "POST /members/{member}": "UpdateUser",
    "POST /members/{member}/send": "POST /api/v1/invitations/{user_id}/send",
    "POST /members/{member}/second-factor": "DELETE /api/v1/members/{user_id}/second-factor",
    "POST /members/{member}/remove": "DeleteUser",
    "GET /security": "GET /api/v1/security",
    "POST /security/password": "POST /api/v1/password",
    "POST /security/proof": "POST /api/v1/email-proofs",
    "GET /security/authenticator": "GET /api/v1/second-factor",
    "POST /security/authenticator": "POST /api/v1/second-factor",
    "POST /security/authenticator/confirm": "POST /api/v1/second-factor/confirm",
    "POST /security/authenticator/codes": "POST /api/v1/second-factor/recovery-codes",
    "POST /security/authenticator/remove": "POST /api/v1/second-factor/remove",
    "POST /security/sessions/end": "DELETE /api/v1/sessions",
    "POST /security/sessions/{session}/end": "DELETE /api/v1/sessions/{session_id}",
    "POST /security/policy": "PUT /api/v1/security-policy",
    "GET /single-sign-on": "GET /api/v1/single-sign-on",
    "POST /single-sign-on": "PUT /api/v1/single-sign-on",
    "POST /single-sign-on/test": "POST /api/v1/single-sign-on/test",
    "POST /single-sign-on/remove": "DELETE /api/v1/single-sign-on",
    "POST /single-sign-on/domains": "POST /api/v1/single-sign-on/domains",
    "POST /single-sign-on/domains/{domain}/prove": (
        "POST /api/v1/single-sign-on/domains/{name}/proof"
    ),
    "POST /single-sign-on/domains/{domain}/remove": "DELETE /api/v1/single-sign-on/domains/{name}",
    "GET /billing": "GET /api/v1/billing",
    "POST /billing/checkout": "POST /api/v1/billing/checkout",
    "POST /billing/plan": "PUT /api/v1/billing/plan",
    "POST /billing/portal": "POST /api/v1/billing/portal",
    "GET /billing/invoices/{invoice}": "GET /api/v1/invoices/{invoice_id}",
}
"""Through which operation each page acts, the one that asks most."""

FOR_ANYBODY = frozenset(
    (
        "/",
        "/sign-up",
        "/login",
        "/login/code",
        "/login/sso",
        "/login/sso/{account}",
        "/logout",
        "/forgotten",
        "/reset",
        "/verify",
        "/join",
    )
)
"""Pages that look no different by who somebody is."""

FIELDS = {
    "amount": "5",
    "email": "x@example.com",
    "fingerprint": "ab" * 32,
    "life_days": "30",
    "name": "x",
    "plan": "business",
    "permission": "read",
    "resource_version": "999",
    "retention_days": "7",
    "revocation_list": "x",
    "role": "ROLE_READ",
    "thresholds": "80",
}


ORDER = {"workflowType": {"name": "Order"}, "taskQueue": {"name": "orders"}}


def test_every_page_has_its_operation() -> None:
    pages = {
        f"{verb} {route.path}"
        for route in ROUTES
        for verb in (route.methods or set()) - {"HEAD"}
        if route.path not in FOR_ANYBODY
    }
    assert pages == PAGES.keys()
    assert set(PAGES.values()) <= shown().keys()


def address_of(page: str, named: Mapping[str, str]) -> str:
    path = page.partition(" ")[2]
    return re.sub(r"{(\w+)(:path)?}", lambda name: named.get(name[1], "ab" * 32), path)


async def opened(visitor: Visitor, page: str, named: Mapping[str, str]) -> int:
    """The status of the page, or of what its form leads to."""
    verb, path = page.partition(" ")[0], address_of(page, named)
    csrf = visitor.http.headers["X-CSRF-Token"]
    form = {**FIELDS, "csrf": csrf, "confirmation": named["namespace"]}
    answer = await visitor.http.request(
        verb, path, data=form if verb == "POST" else None, headers={"accept": "text/html"}
    )
    return answer.status_code


@pytest.mark.ci
@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
async def test_every_page_lets_in_whom_the_page_of_roles_says(site: Site) -> None:
    """The doors below them are called on PostgreSQL too, by the test above."""
    owner = await site.verified_owner()
    namespace = await owner.namespace()
    people = await callers(site, owner, namespace)
    # Not one of those who ask: everybody may leave.
    invited = await owner.post("/cloud/users", {"spec": _SPEC})
    run = await owner.post(f"/api/v1/namespaces/{namespace}/workflows/order-7", ORDER)
    named = {
        "namespace": namespace,
        "workflow": "order-7",
        "run": run["runId"],
        "action": "terminate",
        "member": invited["userId"],
    }
    table, wrong = shown(), []
    for page, operation in PAGES.items():
        for who, caller in people.items():
            if not caller.is_person:
                continue
            status = await opened(caller.visitor, page, named)
            if (status in REFUSED) == may(table[operation], caller):
                wrong.append(f"{page} as {who}: {status}")
    assert not wrong, "\n".join(wrong)
