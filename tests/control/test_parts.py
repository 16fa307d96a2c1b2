"""A frontend before a control plane and two cells, and what goes on when one of them is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from api import frontend as frontends
from api.wire import cell as cell_wire
from api.wire import control as control_wire
from perdure.recount import recount
from tenancy import AuditRecord, Namespace
from tests.control.parts import CELLS, CONTROL, DOOR, LOOK_AGAIN_SECONDS, LOOKS_MAX, Parts, in_parts
from tests.control.visitor import Visitor


@pytest.fixture
async def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Parts]:
    monkeypatch.setattr(cell_wire, "CONNECT_SECONDS_MAX", 0.0)
    monkeypatch.setattr(control_wire, "CONNECT_SECONDS_MAX", 0.0)
    monkeypatch.setattr(frontends, "AGAIN_SECONDS", 0.01)
    async with in_parts(tmp_path / "data") as parts:
        yield parts


class Tenant:
    """An account with a namespace in each cell, and a program with a key for both."""

    def __init__(self, parts: Parts, owner: Visitor) -> None:
        self.parts = parts
        self.owner = owner
        self.namespaces: dict[str, str] = {}
        self.key = ""

    @property
    def program(self) -> Visitor:
        return self.parts.site.program(self.key)

    async def settle(self) -> None:
        for name in ("orders", "billing"):
            full_name = await self.owner.namespace(name)
            async with self.parts.control.database.reading() as session:
                asked = sa.select(Namespace.cell).where(Namespace.name == name)
                self.namespaces[(await session.scalars(asked)).one()] = full_name
        self.key = await self.owner.key()

    async def start(self, cell: str, workflow_id: str) -> int:
        body = {"workflowType": {"name": "Order"}, "taskQueue": {"name": "orders"}}
        path = f"/api/v1/namespaces/{self.namespaces[cell]}/workflows/{workflow_id}"
        return (await self.program.call("POST", path, body)).status_code

    async def end(self, cell: str, workflow_id: str) -> int:
        path = f"/api/v1/namespaces/{self.namespaces[cell]}/workflows/{workflow_id}/terminate"
        return (await self.program.call("POST", path, {})).status_code

    async def ended(self) -> list[str]:
        """The workflows whose end is in the audit log, in its order."""
        async with self.parts.control.database.reading() as session:
            asked = sa.select(AuditRecord.target_ids).where(
                AuditRecord.action == "TerminateWorkflowExecution",
                AuditRecord.account_id == self.owner.account_id,
            )
            found = await session.scalars(asked.order_by(AuditRecord.sequence))
            return [targets[1] for targets in found]


async def tenant_of(parts: Parts) -> Tenant:
    tenant = Tenant(parts, await parts.site.owner())
    await tenant.settle()
    return tenant


async def until(is_so: Callable[[], Any]) -> None:
    for _ in range(LOOKS_MAX):
        if await is_so():
            return
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    raise AssertionError("it did not come to pass")


async def test_all_that_a_customer_does_is_done_at_the_frontend(parts: Parts) -> None:
    tenant = await tenant_of(parts)
    assert sorted(tenant.namespaces) == list(CELLS)
    for cell, namespace in tenant.namespaces.items():
        assert await tenant.start(cell, "wf-1") == 200
        listed = await tenant.owner.get(f"/api/v1/namespaces/{namespace}/workflows")
        assert [it["execution"]["workflowId"] for it in listed["executions"]] == ["wf-1"]
    page = await tenant.owner.http.get("/namespaces", headers={"accept": "text/html"})
    assert all(namespace in page.text for namespace in tenant.namespaces.values())
    document = await tenant.program.get("/api/v1/openapi.json")
    assert {"/api/v1/login", "/cloud/namespaces"} <= set(document["paths"])
    assert (await tenant.program.call("GET", "/docs")).status_code == 200
    assert (await tenant.program.call("GET", "/nothing")).status_code == 404


async def test_a_key_works_at_once_and_no_longer_once_it_is_revoked(
    parts: Parts,
) -> None:
    tenant = await tenant_of(parts)
    path = f"/api/v1/namespaces/{tenant.namespaces[CELLS[0]]}/workflows"
    for _ in range(3):
        made = await tenant.owner.post("/cloud/api-keys", {"spec": {"displayName": "ci"}})
        program = parts.site.program(made["token"])
        assert (await program.call("GET", path)).status_code == 200
        gone = f"/cloud/api-keys/{made['keyId']}"
        version = (await tenant.owner.get(gone))["apiKey"]["resourceVersion"]
        answer = await tenant.owner.call("DELETE", gone, resourceVersion=version)
        assert answer.is_success
        # The door remembers for a second whom it let in.
        await until(partial(_is_refused, program, path))


async def test_without_its_control_plane_a_fresh_frontend_serves_who_it_knows(
    parts: Parts, allow_log: Callable[..., None]
) -> None:
    allow_log("snapshot_not_fed", "last_acts_not_delivered")
    tenant = await tenant_of(parts)
    await parts.stop(CONTROL)
    await parts.stop(DOOR)
    await parts.start(DOOR)
    await until(lambda: _is_ready(parts))
    for cell in CELLS:
        assert await tenant.start(cell, "wf-1") == 200
        assert await tenant.end(cell, "wf-1") == 200
    health = (await tenant.program.call("GET", "/readyz")).json()
    assert (health["ready"], health["control_plane"]) == (True, "away")
    assert health["control_plane_staleness_seconds"] >= 0
    for visitor in (tenant.program, tenant.owner):
        refused = await visitor.call("GET", "/cloud/namespaces")
        assert refused.status_code == 503
        assert "workflows, workers, keys and certificates go on" in refused.json()["message"]
    page = await tenant.owner.http.get("/namespaces", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
    forged = parts.site.program(tenant.key[:-1] + ("0" if tenant.key[-1] != "0" else "1"))
    assert (await forged.call("GET", "/cloud/namespaces")).status_code == 503
    path = f"/api/v1/namespaces/{tenant.namespaces[CELLS[0]]}/workflows"
    assert (await forged.call("GET", path)).status_code == 401


async def test_acts_and_usage_from_while_it_was_away_reach_the_control_plane_once(
    parts: Parts, allow_log: Callable[..., None]
) -> None:
    allow_log("snapshot_not_fed", "last_acts_not_delivered")
    tenant = await tenant_of(parts)
    await parts.stop(CONTROL)
    for number in range(3):
        assert await tenant.start(CELLS[0], f"wf-{number}") == 200
        assert await tenant.end(CELLS[0], f"wf-{number}") == 200
    # Acts that wait outlive the frontend that noted them.
    await parts.stop(DOOR)
    await parts.start(CONTROL)
    assert await tenant.ended() == []
    await parts.start(DOOR)
    await until(tenant.ended)
    await parts.ready()
    assert await tenant.end(CELLS[0], "wf-0") == 404
    assert await tenant.ended() == ["wf-0", "wf-1", "wf-2"]
    async with parts.control.database.reading() as session:
        await parts.control.control.audit.verify_chain(session, tenant.owner.account_id)
    program = tenant.program

    async def get(path: str, params: Mapping[str, str]) -> Any:
        return await program.get(path, **params)

    async def is_counted() -> bool:
        outcome = await recount(get, tenant.namespaces[CELLS[0]])
        return outcome.recounted == 3 and not outcome.differences

    await until(is_counted)


async def test_a_cell_that_is_away_takes_only_its_own_namespaces_along(
    parts: Parts, allow_log: Callable[..., None]
) -> None:
    allow_log("upkeep_failed", "provisioning_retried")
    tenant = await tenant_of(parts)
    away, here = CELLS
    await parts.stop(away)
    assert await tenant.start(away, "wf-1") == 503
    assert await tenant.start(here, "wf-1") == 200
    await until(lambda: _says(parts, f"{away}: the cell cannot be reached"))
    assert (await tenant.program.call("GET", "/readyz")).status_code == 200
    await parts.start(away)
    await until(lambda: _is_ready(parts))
    assert await tenant.start(away, "wf-1") == 200


async def _is_refused(program: Visitor, path: str) -> bool:
    return (await program.call("GET", path)).status_code == 401


async def _is_ready(parts: Parts) -> bool:
    return not parts.frontend.cells.health.problem


async def _says(parts: Parts, problem: str) -> bool:
    return parts.frontend.cells.health.problem == problem
