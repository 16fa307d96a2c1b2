"""The processes as their tasks have them: own directories, shared secrets, TLS between them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from perdure import Client, TLSConfig, Worker, activity, workflow
from tests.house.tree import ROOT
from tests.infra.processes import FACTS, START, Told, processes, values
from tests.product.client import open_account
from tests.product.server import free_port
from tests.tls.pki import SERVER, Wanted, authority, dns, issue

QUEUE = "raised"
ROLE = "perdure_raised"
READY_SECONDS_MAX = 300
END_SECONDS_MAX = 30
LOOK_AGAIN_SECONDS = 0.1
# Both ends of a line are on this machine, whatever their tasks call each other.
HERE = re.compile(r"0\.0\.0\.0|[a-z0-9-]+\.perdure\.internal")
PORT = re.compile(r"\b823\d\b")

pytestmark = pytest.mark.ci


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(
            greet, name, start_to_close_timeout=timedelta(seconds=10)
        )


class Machine:
    """One task on a machine of its own, as far as one machine can pretend to be several."""

    def __init__(self, told: Told, ports: Mapping[str, int], given: Mapping[str, str]) -> None:
        self.name = told.name
        self.health_port = free_port()
        own = {**ports, "8237": self.health_port}
        if told.name == "frontend":
            self.health_port = own["8233"]
        self._command = [
            PORT.sub(lambda found: str(own[found[0]]), HERE.sub("127.0.0.1", word))
            for word in told.command
        ]
        self._given = {name: given[name] for name in told.secrets}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, data: Path) -> None:
        """With an empty directory, as every new task has one."""
        data.mkdir(mode=0o700)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'sdk/src'}",
            "PERDURE_PYTHON": sys.executable,
            "PERDURE_DATA": str(data),
            **self._given,
        }
        with data.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                [START, *(word.replace("/data", str(data)) for word in self._command)],
                env=environment,
                stdout=log,
                stderr=log,
            )

    def end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(END_SECONDS_MAX)
            self._process = None

    async def ready(self, http: httpx.AsyncClient) -> None:
        async with asyncio.timeout(READY_SECONDS_MAX):
            while not await self._is_ready(http):
                assert self._process is not None
                assert self._process.poll() is None, f"{self.name} ended"
                await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _is_ready(self, http: httpx.AsyncClient) -> bool:
        try:
            answer = await http.get(f"http://127.0.0.1:{self.health_port}/readyz")
        except httpx.TransportError:
            return False
        return answer.status_code == 200


class Raised:
    """What a customer sees of an installation."""

    def __init__(self, machines: Mapping[str, Machine], tls_port: int, issuer: bytes) -> None:
        self.machines = machines
        self.tls_address = f"127.0.0.1:{tls_port}"
        self.issuer = issuer

    def client(self, **headers: str) -> httpx.AsyncClient:
        """By TLS, as browsers come: they keep no cookie that is for TLS alone otherwise."""
        return httpx.AsyncClient(
            base_url=f"https://{self.tls_address}",
            headers={"host": FACTS["base_domain"], **headers},
            verify=ssl.create_default_context(cadata=self.issuer.decode()),
            event_hooks={"request": [_to_the_domain]},
            timeout=60,
            trust_env=False,
        )


async def _to_the_domain(request: httpx.Request) -> None:
    request.extensions["sni_hostname"] = FACTS["base_domain"]


def role_url(database: str) -> str:
    """The URL of a new role in a new installation's database, made as an operator makes it."""
    made = values()
    place = conninfo_to_dict(database)
    password, _ = made.store_url(ROLE, "localhost", str(place["dbname"]))
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in made.role_statements(ROLE, place["dbname"], made.verifier(password)):
            connection.execute(statement.encode())
    return f"postgresql://{ROLE}:{password}@/{place['dbname']}?host={place['host']}"


@asynccontextmanager
async def raised(folder: Path, new_database: Callable[[], str]) -> AsyncIterator[Raised]:
    domain = FACTS["base_domain"]
    issuer = authority()
    names = [dns(domain), dns(f"orders.account.{domain}")]
    server = issue(issuer, Wanted(common_name=domain, names=names, usages=(SERVER,)))
    shared = {
        "PERDURE_SECRETS": values().installation_secrets(),
        "PERDURE_TLS_CERTIFICATE": server.chain_pem().decode(),
        "PERDURE_TLS_KEY": server.key_pem().decode(),
        "PERDURE_SMTP_URL": f"smtp://127.0.0.1:{free_port()}",
        "PERDURE_STRIPE_KEY": "",
        "PERDURE_STRIPE_WEBHOOK_SECRET": "",
    }
    ports = {str(port): free_port() for told in processes() for port in told.ports.values()}
    machines = {}
    for told in processes():
        given = dict(shared)
        if "PERDURE_STORE" in told.secrets:
            given["PERDURE_STORE"] = role_url(new_database())
        machines[told.name] = Machine(told, ports, given)
    try:
        # All at once, as after a disaster: nobody's start may need another's.
        for name, machine in machines.items():
            machine.start(folder / name)
        async with httpx.AsyncClient(trust_env=False) as http:
            for machine in machines.values():
                await machine.ready(http)
        yield Raised(machines, ports["8234"], issuer.chain_pem())
    finally:
        for machine in machines.values():
            machine.end(signal.SIGKILL)


async def greeted(cloud: Raised, namespace: str, key: str, id: str) -> str:
    tls = TLSConfig(server_root_ca_cert=cloud.issuer, domain=FACTS["base_domain"])
    async with (
        await Client.connect(
            cloud.tls_address, namespace=namespace, api_key=key, tls=tls
        ) as client,
        Worker(client, task_queue=QUEUE, workflows=[Greeting], activities=[greet]),
    ):
        result: str = await client.execute_workflow(Greeting.run, "Ada", id=id, task_queue=QUEUE)
    return result


async def test_processes_on_machines_of_their_own_are_one_cloud(
    tmp_path: Path, postgres_database: Callable[[], str]
) -> None:
    async with raised(tmp_path, postgres_database) as cloud:
        access = await open_account(cloud)
        async with aclosing(access.owner.http):
            assert await greeted(cloud, access.namespace, access.key, "first") == "Hello, Ada!"
            # A new task takes the place of each, with nothing but the secrets and the databases.
            for name, machine in cloud.machines.items():
                machine.end(signal.SIGTERM)
                machine.start(tmp_path / f"{name}-again")
            async with httpx.AsyncClient(trust_env=False) as http:
                for machine in cloud.machines.values():
                    await machine.ready(http)
            assert await greeted(cloud, access.namespace, access.key, "second") == "Hello, Ada!"
            told = await access.owner.http.get(f"/api/v1/namespaces/{access.namespace}/workflows")
            assert len(json.loads(told.text)["executions"]) == 2


async def test_a_new_frontend_serves_while_the_control_plane_is_away(
    tmp_path: Path, postgres_database: Callable[[], str]
) -> None:
    async with raised(tmp_path, postgres_database) as cloud:
        access = await open_account(cloud)
        frontend = cloud.machines["frontend"]
        async with aclosing(access.owner.http), httpx.AsyncClient(trust_env=False) as http:
            await until_lent(tmp_path / "cell", tmp_path / "frontend")
            cloud.machines["control-plane"].end(signal.SIGKILL)
            frontend.end(signal.SIGKILL)
            frontend.start(tmp_path / "frontend-again")
            await frontend.ready(http)
            assert await greeted(cloud, access.namespace, access.key, "alone") == "Hello, Ada!"


async def until_lent(cell: Path, frontend: Path) -> None:
    """Until the cell's copy is younger than what the frontend was told last."""
    copy, told = cell / "cell.snapshot", frontend / "frontend.snapshot"
    async with asyncio.timeout(READY_SECONDS_MAX):
        # Files tell nobody when they are written.
        while not (copy.exists() and _time(copy) >= _time(told)):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


def _time(file: Path) -> int:
    return file.stat().st_mtime_ns
