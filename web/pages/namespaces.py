"""The account's namespaces, and the form that makes one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from web.cloud import Answer, segment
from web.errors import Refused
from web.formats import read_time
from web.visit import Visit

RETENTION_DAYS_DEFAULT = "30"
STATE_PREFIX = "RESOURCE_STATE_"


@dataclass(frozen=True, slots=True)
class NamespaceRow:
    name: str
    state: str
    retention_days: int
    created_at: datetime | None
    operation_id: str
    resource_version: str

    @property
    def is_active(self) -> bool:
        return self.state == "active"


def namespace_row(answer: Answer) -> NamespaceRow:
    spec = answer.get("spec") or {}
    state = str(answer.get("state", "")).removeprefix(STATE_PREFIX)
    return NamespaceRow(
        name=str(answer["namespace"]),
        state=state.lower().replace("_", " "),
        retention_days=int(spec.get("retentionDays", 0)),
        created_at=read_time(answer.get("createdTime")),
        operation_id=str(answer.get("asyncOperationId", "")),
        resource_version=str(answer.get("resourceVersion", "")),
    )


async def show(visit: Visit) -> Response:
    return await _page(visit, name="", retention_days=RETENTION_DAYS_DEFAULT, problem=None)


async def create(visit: Visit) -> Response:
    name = visit.form.get("name", "").strip()
    retention_days = visit.form.get("retention_days", "")
    spec: Answer = {"name": name, "apiKeyAuth": {"enabled": True}}
    # Text that is no number goes as it is: the API says better than the console what it takes.
    spec["retentionDays"] = int(retention_days) if retention_days.isdecimal() else retention_days
    try:
        made = await visit.cloud.post("/cloud/namespaces", {"spec": spec})
    except Refused as error:
        return await _page(visit, name=name, retention_days=retention_days, problem=error)
    return visit.go(f"/namespaces/{segment(made['namespace'])}")


async def delete(visit: Visit) -> Response:
    """Only after its name was typed: what is deleted does not come back."""
    name = visit.path("namespace")
    if visit.form.get("confirmation", "").strip() != name:
        raise Refused(400, f"Nothing was deleted. To delete the namespace, type its name: {name}")
    version = visit.form.get("resource_version", "")
    await visit.cloud.delete(f"/cloud/namespaces/{segment(name)}", resourceVersion=version)
    return visit.go("/namespaces", notice="deleted")


async def _page(
    visit: Visit, *, name: str, retention_days: str, problem: Refused | None
) -> Response:
    rows: list[NamespaceRow] = []
    token = ""
    while True:
        query: dict[str, str] = {"pageToken": token} if token else {}
        answer = await visit.cloud.get("/cloud/namespaces", **query)
        rows += [namespace_row(each) for each in answer.get("namespaces") or []]
        token = str(answer.get("nextPageToken", ""))
        if not token:
            break
    return visit.page(
        "namespaces.html",
        status=problem.status if problem else 200,
        rows=[row for row in rows if row.state != "deleted"],
        name=name,
        retention_days=retention_days,
        problem=problem or "",
        is_changing=any(not row.is_active for row in rows),
    )
