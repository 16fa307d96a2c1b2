"""The page docs/roles.md, made from the tables that calls are checked by.

`./dev python -m api.roles_document` prints it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping

from api.catalogue import CATALOGUE, Plane, Row
from api.control.access import ROUTES, RouteAccess
from tenancy import PERMITS, Access, AccountRole, Permission
from tenancy.roles import ADMIN_OF_ALL_NAMESPACES, NAMESPACE_ACCESS

YES, NO = "●", ""

_ANY_NAMESPACE = (Access.ACCOUNT_READ, *sorted(NAMESPACE_ACCESS))
OF_ONE_RESOURCE: Mapping[str, tuple[Access, ...]] = {
    "GetCurrentIdentity": _ANY_NAMESPACE,
    "GetNamespaces": _ANY_NAMESPACE,
    "GetNamespace": _ANY_NAMESPACE,
    "UpdateNamespace": (Access.ADMIN,),
    "DeleteNamespace": (Access.ADMIN,),
    "GetRegions": _ANY_NAMESPACE,
    "GetRegion": _ANY_NAMESPACE,
    "DeleteUser": (Access.ACCOUNT_WRITE,),
    "SetUserNamespaceAccess": (Access.ADMIN,),
}
"""What their handlers ask of who calls an RPC whose catalogue row is open."""

_HEAD = """\
# Roles and permissions

What each account role, and each permission in a namespace, may call. This page is made from the
tables that calls are checked by (`api/catalogue/`, `api/control/access.py`, `tenancy/roles.py`) by
`./dev python -m api.roles_document > docs/roles.md`; a test fails where it is not current.

A member has one role in the account, and for each namespace at most one permission. Owners and
admins administer every namespace; whoever creates a namespace administers it. Beyond the table:

- Only an owner makes or unmakes an owner, and the last owner stays one.
- Whoever invites others has confirmed an e-mail address.
- Everybody may leave, and manages the own API keys. Owners and admins manage all keys.
- An API key does at most what its owner may do now. A key *for workers* polls and completes tasks
  and does nothing else; no member has that permission.
- A client certificate may do in its namespace what the permission *write* may.
- Pages of the console act through these operations as whoever looks at them, and so may do no more;
  they show no form that would be refused.
- What belongs to another account answers as missing.

**●** may, in namespaces where it is about one: all of them for a role, those granted for a
permission. *Everybody* needs no login, *session* one in the console.
"""


def roles_document() -> str:
    """The whole page in Markdown."""
    parts = [_HEAD]
    for title, rows in (
        ("Namespaces: workflows and workers", _rpcs("temporal.api.workflowservice", "perdure.")),
        ("Namespaces: operators", _rpcs("temporal.api.operatorservice")),
        ("The account: CloudService", _rpcs("temporal.api.cloud")),
        ("The account: other routes", list(_routes())),
    ):
        if rows:
            parts.append(f"## {title}\n\n{_table(rows)}\n")
    return "\n".join(parts)


def _rpcs(*packages: str) -> list[tuple[str, tuple[Access, ...]]]:
    served = {
        name: row
        for name, row in CATALOGUE.items()
        if row.plane is not Plane.NONE and name.startswith(packages)
    }
    return [(f"`{_short(name)}`", _asked(_short(name), row)) for name, row in served.items()]


def _asked(name: str, row: Row) -> tuple[Access, ...]:
    return OF_ONE_RESOURCE[name] if row.is_open else row.access


def _routes() -> Iterator[tuple[str, tuple[Access, ...]]]:
    for (verb, path), row in ROUTES.items():
        yield f"`{verb} {path}`{_about(row)}", row.access


def _about(row: RouteAccess) -> str:
    return f" ({row.is_about})" if row.is_about else ""


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _table(rows: Iterable[tuple[str, tuple[Access, ...]]]) -> str:
    columns = [
        *(role.replace("_", " ").capitalize() for role in AccountRole),
        *(f"*{_called(permission)}*" for permission in Permission),
    ]
    lines = [_line(["Operation", *columns]), _line(["---", *(":-:" for _ in columns)])]
    for name, access in rows:
        if Access.PUBLIC in access:
            cells = ["everybody", *[NO] * (len(columns) - 1)]
        else:
            cells = [_cell(_role_has(role, access)) for role in AccountRole]
            cells += [_cell(_permission_has(each, access)) for each in Permission]
        if Access.SESSION in access:
            cells = ["session", *[NO] * (len(columns) - 1)]
        lines.append(_line([name, *cells]))
    return "\n".join(lines)


def _called(permission: Permission) -> str:
    return "for workers" if permission is Permission.WORKER else permission


def _role_has(role: AccountRole, access: Iterable[Access]) -> bool:
    return any(
        role in ADMIN_OF_ALL_NAMESPACES if each in NAMESPACE_ACCESS else role in PERMITS[each]
        for each in access
        if each is not Access.SESSION
    )


def _permission_has(permission: Permission, access: Iterable[Access]) -> bool:
    return any(each in NAMESPACE_ACCESS and permission in PERMITS[each] for each in access)


def _cell(is_permitted: bool) -> str:
    return YES if is_permitted else NO


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(roles_document())
