from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.control.visitor import PASSWORD, Visitor

ROOT = Path(__file__).resolve().parents[2]
WAIT_SECONDS_MAX = 60
POLL = "/temporal.api.workflowservice.v1.WorkflowService/PollWorkflowTaskQueue"
PERSON = {"email": "ada@example.com", "password": PASSWORD}


class Server:
    """A server in a process of its own, on a free port."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.process = process
        self.address = address
        self._clients: list[httpx.AsyncClient] = []

    def visitor(self, **headers: str) -> Visitor:
        client = httpx.AsyncClient(base_url=self.address, headers=headers, trust_env=False)
        self._clients.append(client)
        return Visitor(client)

    async def leave(self) -> None:
        for client in self._clients:
            await client.aclose()

    async def ended(self) -> int:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            return await self.process.wait()


async def start(data: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "api", "up", "--quiet", "--data", str(data), *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def serving(data: Path) -> AsyncIterator[Server]:
    process = await start(data, "--port", "0")
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("Perdure is ready at "), (await process.stderr.read()).decode()
        server = Server(process, line.split()[4])
        try:
            yield server
        finally:
            await server.leave()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_killed_server_comes_back_with_all_that_it_acknowledged(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        owner = server.visitor()
        told = await owner.post("/api/v1/sign-up", PERSON)
        owner.http.headers["X-CSRF-Token"] = told["csrf_token"]
        name, key = await owner.namespace(), await owner.key()
        server.process.send_signal(signal.SIGKILL)
        await server.ended()
    async with serving(tmp_path) as server:
        program = server.visitor(Authorization=f"Bearer {key}")
        (namespace,) = (await program.get("/cloud/namespaces"))["namespaces"]
        assert (namespace["namespace"], namespace["state"]) == (name, "RESOURCE_STATE_ACTIVE")
        assert (await program.call("GET", f"/api/v1/namespaces/{name}/workflows")).is_success
        assert (await server.visitor().post("/api/v1/login", PERSON))["email"] == PERSON["email"]


async def test_a_server_takes_leave_of_its_pollers_before_it_ends(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        owner = server.visitor()
        told = await owner.post("/api/v1/sign-up", PERSON)
        owner.http.headers["X-CSRF-Token"] = told["csrf_token"]
        body = {"namespace": await owner.namespace(), "taskQueue": {"name": "q"}}
        program = server.visitor(Authorization=f"Bearer {await owner.key()}")
        polling = asyncio.create_task(program.http.post(POLL, json=body, timeout=WAIT_SECONDS_MAX))
        await program.get("/readyz")
        server.process.send_signal(signal.SIGTERM)
        assert await server.ended() == 0
        assert (await polling).status_code == 503


async def test_a_data_directory_has_one_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        second = await start(tmp_path, "--port", "0")
        _, told = await second.communicate()
        assert second.returncode == 2
        assert f"process {server.process.pid}" in told.decode()


async def test_a_taken_port_is_said_to_be_so(tmp_path: Path) -> None:
    async with serving(tmp_path / "one") as server:
        port = server.address.rpartition(":")[2]
        second = await start(tmp_path / "two", "--port", port)
        _, told = await second.communicate()
        assert second.returncode == 2
        assert port in told.decode()
        assert "Traceback" not in told.decode()


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_ready_server_says_that_it_is_ready(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path) as server:
        assert (await server.visitor().call("GET", path)).status_code == 200
        files = await asyncio.to_thread(lambda: list(tmp_path.iterdir()))
        modes = {file.stat().st_mode & 0o077 for file in files}
        assert modes == {0}
