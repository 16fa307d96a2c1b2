"""Members of the account: who they are, what they may do, and who is invited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from starlette.responses import Response

from tenancy.clock import now
from web.cloud import Answer, segment
from web.errors import Refused
from web.formats import read_time
from web.visit import Session, Visit

ROLES = {
    "ROLE_OWNER": "Owner",
    "ROLE_ADMIN": "Admin",
    "ROLE_DEVELOPER": "Developer",
    "ROLE_FINANCE_ADMIN": "Finance admin",
    "ROLE_READ": "Read",
    "ROLE_METRICS_READ": "Metrics read",
}
PERMISSIONS = {
    "": "No access",
    "PERMISSION_READ": "Read",
    "PERMISSION_WRITE": "Write",
    "PERMISSION_ADMIN": "Admin",
}
"""In a namespace, by the API's name."""

ROLE_DEFAULT = "ROLE_DEVELOPER"
OWNER = "ROLE_OWNER"
ADMINISTER_ALL = frozenset((OWNER, "ROLE_ADMIN"))
"""The roles that have every namespace without a grant."""

MEMBERS_PER_PAGE = 1_000
GRANT = "grant "
"""What the names of the form's fields for namespaces begin with."""


@dataclass(frozen=True, slots=True)
class MemberRow:
    """`expires_at` is there for an invitation that was not accepted yet."""

    id: str
    email: str
    role: str
    grants: Mapping[str, str]
    resource_version: str
    created_at: datetime | None
    expires_at: datetime | None

    @property
    def state(self) -> str:
        if self.expires_at is None:
            return "active"
        return "invited" if self.expires_at > now() else "invitation expired"

    @property
    def changed_by(self) -> str:
        """The access that changing this member takes."""
        return access_to_make(self.role)

    @property
    def reach(self) -> str:
        """In how many namespaces the member may do something."""
        return "all" if self.role in ADMINISTER_ALL else str(len(self.grants))


@dataclass(frozen=True, slots=True)
class Draft:
    """What the form shows: as it is, or as it was sent and refused."""

    email: str = ""
    role: str = ROLE_DEFAULT
    grants: Mapping[str, str] = field(default_factory=dict)


def access_to_make(role: str) -> str:
    """Only an owner makes or unmakes an owner."""
    return "owner" if role == OWNER else "account_write"


def member_row(user: Answer) -> MemberRow:
    spec = user.get("spec") or {}
    access = spec.get("access") or {}
    invitation = user.get("invitation") or {}
    return MemberRow(
        id=str(user["id"]),
        email=str(spec.get("email", "")),
        role=str((access.get("accountAccess") or {}).get("role", "")),
        grants={
            str(name): str(each.get("permission", ""))
            for name, each in (access.get("namespaceAccesses") or {}).items()
        },
        resource_version=str(user.get("resourceVersion", "")),
        created_at=read_time(user.get("createdTime")),
        expires_at=read_time(invitation.get("expiredTime")),
    )


async def show(visit: Visit) -> Response:
    return await _page(visit, Draft())


async def invite(visit: Visit) -> Response:
    draft = _draft(visit)
    try:
        await visit.cloud.post("/cloud/users", {"spec": _spec(draft)})
    except Refused as error:
        return await _page(visit, draft, problem=error)
    return visit.go("/members", notice="invited")


async def show_one(visit: Visit) -> Response:
    return await _member_page(visit)


async def change(visit: Visit) -> Response:
    draft = _draft(visit)
    body = {
        "spec": _spec(draft),
        "resourceVersion": visit.form.get("resource_version", ""),
    }
    try:
        await visit.cloud.post(f"/cloud/users/{segment(visit.path('member'))}", body)
    except Refused as error:
        return await _member_page(visit, draft, problem=error)
    return visit.go("/members", notice="member-changed")


async def send_again(visit: Visit) -> Response:
    try:
        await visit.cloud.post(f"/api/v1/invitations/{segment(visit.path('member'))}/send", {})
    except Refused as error:
        return await _page(visit, Draft(), problem=error)
    return visit.go("/members", notice="invited")


async def remove(visit: Visit) -> Response:
    assert visit.session is not None
    member = visit.path("member")
    try:
        await visit.cloud.delete(f"/cloud/users/{segment(member)}")
    except Refused as error:
        return await _page(visit, Draft(), problem=error)
    if member == visit.session.user_id:
        return visit.go("/login")
    return visit.go("/members", notice="member-removed")


async def remove_second_factor(visit: Visit) -> Response:
    member = segment(visit.path("member"))
    try:
        await visit.cloud.delete(f"/api/v1/members/{member}/second-factor")
    except Refused as error:
        return await _member_page(visit, problem=error)
    return visit.go("/members", notice="second-factor-off")


def _draft(visit: Visit) -> Draft:
    grants = {
        name.removeprefix(GRANT): permission
        for name, permission in visit.form.items()
        if name.startswith(GRANT) and permission
    }
    return Draft(visit.form.get("email", "").strip(), visit.form.get("role", ""), grants)


def _spec(draft: Draft) -> Answer:
    accesses = {name: {"permission": permission} for name, permission in draft.grants.items()}
    access = {"accountAccess": {"role": draft.role}, "namespaceAccesses": accesses}
    return {"email": draft.email, "access": access}


async def _page(visit: Visit, draft: Draft, *, problem: Refused | None = None) -> Response:
    assert visit.session is not None
    answer = await visit.cloud.get("/cloud/users", pageSize=MEMBERS_PER_PAGE)
    return visit.page(
        "members.html",
        status=problem.status if problem else 200,
        rows=[member_row(each) for each in answer.get("users") or []],
        draft=draft,
        roles=ROLES,
        offered=_offered(visit.session),
        permissions=PERMISSIONS,
        namespaces=await _namespaces(visit),
        problem=problem or "",
    )


async def _member_page(
    visit: Visit, draft: Draft | None = None, *, problem: Refused | None = None
) -> Response:
    assert visit.session is not None
    answer = await visit.cloud.get(f"/cloud/users/{segment(visit.path('member'))}")
    row = member_row(answer["user"])
    return visit.page(
        "member.html",
        status=problem.status if problem else 200,
        row=row,
        draft=draft or Draft(row.email, row.role, row.grants),
        roles=ROLES,
        offered=_offered(visit.session),
        permissions=PERMISSIONS,
        namespaces=await _namespaces(visit),
        is_self=row.id == visit.session.user_id,
        problem=problem or "",
    )


def _offered(session: Session) -> Mapping[str, str]:
    """The roles that this user may give."""
    return {role: text for role, text in ROLES.items() if session.may(access_to_make(role))}


async def _namespaces(visit: Visit) -> list[str]:
    answer = await visit.cloud.get("/cloud/namespaces", pageSize=MEMBERS_PER_PAGE)
    return sorted(str(each["namespace"]) for each in answer.get("namespaces") or [])
