"""Client certificates: the CAs that a namespace trusts, whom they issued to, and who is refused."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.responses import Response

from tenancy.clock import now
from web.cloud import Answer, segment
from web.errors import Refused
from web.formats import read_time
from web.visit import Visit

SOON_DAYS = 15
FILTER_FIELDS = {
    "cn": "commonName",
    "o": "organization",
    "ou": "organizationalUnit",
    "san": "subjectAlternativeName",
}
"""The short names of a filter's fields, as certificates are written, and the API's."""


@dataclass(frozen=True, slots=True)
class AuthorityRow:
    subject: str
    issuer: str
    fingerprint: str
    expires_at: datetime | None

    @property
    def state(self) -> str:
        if self.expires_at is None or self.expires_at > now() + timedelta(days=SOON_DAYS):
            return "good"
        return "expires soon" if self.expires_at > now() else "expired"


@dataclass(frozen=True, slots=True)
class ListRow:
    authority: str
    issuer: str
    revoked_count: int
    issued_at: datetime | None
    next_at: datetime | None

    @property
    def is_outdated(self) -> bool:
        return self.next_at is not None and self.next_at <= now()


@dataclass(frozen=True, slots=True)
class Draft:
    """What the form shows: as it is, or as it was sent and refused."""

    authorities: str
    filters: str
    is_enabled: bool
    resource_version: str


def filter_lines(filters: list[Answer]) -> str:
    """One filter a line, as `cn=worker-*; ou=Payments`."""
    return "\n".join(
        "; ".join(f"{short}={it[name]}" for short, name in FILTER_FIELDS.items() if it.get(name))
        for it in filters
    )


def read_filters(lines: str) -> list[Answer]:
    """Raises Refused for a line that is not made of the fields."""
    filters = []
    for line in filter(None, map(str.strip, lines.splitlines())):
        wanted: Answer = {}
        for part in line.split(";"):
            short, mark, pattern = part.partition("=")
            name = FILTER_FIELDS.get(short.strip().lower())
            if not mark or name is None or name in wanted:
                known = ", ".join(FILTER_FIELDS)
                raise Refused(400, f"A filter is made of {known}, as in cn=worker-*; not of {part}")
            wanted[name] = pattern.strip()
        filters.append(wanted)
    return filters


async def show(visit: Visit) -> Response:
    return await _page(visit)


async def change(visit: Visit) -> Response:
    form, path = visit.form, f"/cloud/namespaces/{segment(visit.path('namespace'))}"
    draft = Draft(
        form.get("authorities", "").strip(),
        form.get("filters", "").strip(),
        "enabled" in form,
        form.get("resource_version", ""),
    )
    try:
        trust: Answer = {
            "acceptedClientCa": base64.b64encode(draft.authorities.encode()).decode(),
            "certificateFilters": read_filters(draft.filters),
            "enabled": draft.is_enabled,
        }
        spec = (await visit.cloud.get(path))["namespace"]["spec"]
        body = {"spec": {**spec, "mtlsAuth": trust}, "resourceVersion": draft.resource_version}
        await visit.cloud.post(path, body)
    except Refused as error:
        return await _page(visit, draft=draft, problem=error, where="trust")
    return _back(visit, "trusted")


async def deny(visit: Visit) -> Response:
    fingerprint = visit.form.get("fingerprint", "").strip()
    body: Answer = {"namespace": visit.path("namespace"), "fingerprint": fingerprint}
    try:
        await visit.cloud.post("/api/v1/denied-certificates", body)
    except Refused as error:
        return await _page(visit, denial=fingerprint, problem=error, where="denied")
    return _back(visit, "denied")


async def allow(visit: Visit) -> Response:
    path = f"/api/v1/denied-certificates/{segment(visit.path('fingerprint'))}"
    await visit.cloud.delete(path, namespace=visit.path("namespace"))
    return _back(visit, "allowed")


async def upload_list(visit: Visit) -> Response:
    text = visit.form.get("revocation_list", "").strip()
    body: Answer = {"namespace": visit.path("namespace"), "revocation_list": text}
    try:
        await visit.cloud.post("/api/v1/revocation-lists", body)
    except Refused as error:
        return await _page(visit, uploaded=text, problem=error, where="revoked")
    return _back(visit, "list-uploaded")


async def remove_list(visit: Visit) -> Response:
    path = f"/api/v1/revocation-lists/{segment(visit.path('authority'))}"
    await visit.cloud.delete(path, namespace=visit.path("namespace"))
    return _back(visit, "list-removed")


def _back(visit: Visit, notice: str) -> Response:
    return visit.go(f"/namespaces/{segment(visit.path('namespace'))}/certificates", notice=notice)


async def _page(
    visit: Visit,
    *,
    draft: Draft | None = None,
    denial: str = "",
    uploaded: str = "",
    problem: Refused | None = None,
    where: str = "",
) -> Response:
    """With what was sent and refused, if anything: `where` is the part of the page."""
    name = visit.path("namespace")
    shown = await visit.cloud.get("/api/v1/client-certificates", namespace=name)
    if draft is None:
        found = (await visit.cloud.get(f"/cloud/namespaces/{segment(name)}"))["namespace"]
        trust = found["spec"].get("mtlsAuth") or {}
        draft = Draft(
            base64.b64decode(trust.get("acceptedClientCa", "")).decode(),
            filter_lines(trust.get("certificateFilters") or []),
            bool(trust.get("enabled")),
            str(found.get("resourceVersion", "")),
        )
    return visit.page(
        "certificates.html",
        status=problem.status if problem else 200,
        namespace=name,
        host=shown["host"],
        is_served=shown["is_served"],
        is_enabled=shown["is_enabled"],
        rows=[
            AuthorityRow(
                each["subject"],
                each["issuer"],
                each["fingerprint"],
                read_time(each["expires_at"]),
            )
            for each in shown["authorities"]
        ],
        denied=[(each["fingerprint"], read_time(each["denied_at"])) for each in shown["denied"]],
        lists=[
            ListRow(
                each["authority"],
                each["issuer"],
                each["revoked_count"],
                read_time(each["issued_at"]),
                read_time(each["next_at"]),
            )
            for each in shown["revocation_lists"]
        ],
        draft=draft,
        denial=denial,
        uploaded=uploaded,
        problems={where: problem} if problem else {},
    )
