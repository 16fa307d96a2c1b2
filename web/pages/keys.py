"""API keys: made here, shown once, revoked here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.responses import Response

from tenancy.clock import now
from web.cloud import Answer, Cloud, segment
from web.errors import Refused
from web.formats import read_time
from web.visit import Visit

LIFE_DAYS_OPTIONS = (30, 90, 365)
LIFE_DAYS_DEFAULT = 90
PERMISSIONS = {
    "write": "Run and use workflows",
    "worker": "Only run them, as a worker",
    "read": "Only read",
}
"""What a key may do in its namespace, by the API's name; who makes it must have that access."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    id: str
    name: str
    state: str
    created_at: datetime | None
    expires_at: datetime | None
    resource_version: str


def key_row(answer: Answer) -> KeyRow:
    spec = answer.get("spec") or {}
    expires_at = read_time(spec.get("expiryTime"))
    is_over = expires_at is not None and expires_at <= now()
    state = "expired" if is_over else "disabled" if spec.get("disabled") else "active"
    return KeyRow(
        id=str(answer["id"]),
        name=str(spec.get("displayName", "")),
        state=state,
        created_at=read_time(answer.get("createdTime")),
        expires_at=expires_at,
        resource_version=str(answer.get("resourceVersion", "")),
    )


async def make_key(
    cloud: Cloud, namespace: str, name: str, *, permission: str, life_days: int
) -> str:
    """The key itself, which is known to nobody else from now on; it opens this namespace only."""
    expires_at = (now() + timedelta(days=life_days)).isoformat(timespec="seconds")
    wanted: Answer = {"name": name, "expires_at": expires_at, "namespaces": {namespace: permission}}
    return str((await cloud.post("/api/v1/api-keys", wanted))["token"])


async def show(visit: Visit) -> Response:
    return await _page(visit)


async def create(visit: Visit) -> Response:
    name = visit.form.get("name", "").strip()
    days = visit.form.get("life_days", "")
    life_days = int(days) if days in map(str, LIFE_DAYS_OPTIONS) else LIFE_DAYS_DEFAULT
    permission = visit.form.get("permission", "")
    try:
        token = await make_key(
            visit.cloud,
            visit.path("namespace"),
            name,
            permission=permission,
            life_days=life_days,
        )
        return await _page(visit, token=token)
    except Refused as error:
        return await _page(visit, name=name, problem=error)


async def revoke(visit: Visit) -> Response:
    path = f"/cloud/api-keys/{segment(visit.path('key'))}"
    version = visit.form.get("resource_version", "")
    try:
        await visit.cloud.delete(path, **({"resourceVersion": version} if version else {}))
    except Refused as error:
        return await _page(visit, problem=error)
    return visit.go(f"/namespaces/{segment(visit.path('namespace'))}/keys", notice="revoked")


async def _page(
    visit: Visit, *, token: str = "", name: str = "", problem: Refused | None = None
) -> Response:
    assert visit.session is not None
    namespace = visit.path("namespace")
    # Keys are the account's, and so are listed for a namespace that there is not.
    await visit.cloud.get(f"/cloud/namespaces/{segment(namespace)}")
    answer = await visit.cloud.get("/cloud/api-keys")
    return visit.page(
        "keys.html",
        status=problem.status if problem else 200,
        namespace=namespace,
        rows=[key_row(each) for each in answer.get("apiKeys") or []],
        life_days_options=LIFE_DAYS_OPTIONS,
        life_days_default=LIFE_DAYS_DEFAULT,
        permissions={key: text for key, text in PERMISSIONS.items() if visit.session.may(key)},
        token=token,
        name=name,
        problem=problem or "",
    )
