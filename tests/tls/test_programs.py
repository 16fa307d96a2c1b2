"""Programs that have a certificate and no key."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from perdure import Client, TLSConfig, Worker, activity, workflow
from perdure.exceptions import RPCError
from tests.tls.pki import Identity, authority, leaf
from tests.tls.site import Tenant, TlsSite

ROOT = authority("Acme root")
ISSUER = authority("Acme issuer", ROOT)
ANSWER_SECONDS_MAX = 60
COMMAND_LINE = "from perdure.cli import main; raise SystemExit(main())"


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(
            greet, name, start_to_close_timeout=timedelta(seconds=ANSWER_SECONDS_MAX)
        )


@pytest.fixture(scope="module")
async def tenant(site: TlsSite) -> Tenant:
    tenant = await site.tenant()
    assert (await tenant.trust(ROOT)).is_success
    return tenant


def config(site: TlsSite, tenant: Tenant, identity: Identity | None) -> TLSConfig:
    return TLSConfig(
        server_root_ca_cert=site.server_authority.read_bytes(),
        domain=site.host(tenant.namespace),
        client_cert=None if identity is None else identity.chain_pem(),
        client_private_key=None if identity is None else identity.key_pem(),
    )


async def connected(site: TlsSite, tenant: Tenant, identity: Identity | None) -> Client:
    tls = config(site, tenant, identity)
    return await Client.connect(f"127.0.0.1:{site.port}", namespace=tenant.namespace, tls=tls)


async def test_a_worker_runs_a_workflow_with_a_certificate(site: TlsSite, tenant: Tenant) -> None:
    identity = leaf(ISSUER).with_chain(ISSUER)
    async with (
        await connected(site, tenant, identity) as client,
        Worker(client, task_queue="hello", workflows=[Greeting], activities=[greet]),
    ):
        result = await client.execute_workflow(
            Greeting.run, "world", id="greeting-1", task_queue="hello"
        )
    assert result == "Hello, world!"


async def test_a_client_is_told_that_its_certificate_may_be_why_it_gets_no_answer(
    site: TlsSite, tenant: Tenant
) -> None:
    stranger = leaf(authority("Stranger"))
    async with await connected(site, tenant, stranger) as client:
        client.transport.retry_seconds = 0
        with pytest.raises(RPCError, match="it may not trust the client certificate"):
            await client.count_workflows()


async def test_a_client_without_certificate_and_key_is_told_so(
    site: TlsSite, tenant: Tenant
) -> None:
    async with await connected(site, tenant, None) as client:
        with pytest.raises(RPCError, match="carries no credential"):
            await client.count_workflows()


async def test_a_client_does_not_talk_to_a_server_that_it_does_not_trust(
    site: TlsSite, tenant: Tenant
) -> None:
    tls = TLSConfig(server_root_ca_cert=ROOT.pem.encode(), domain=site.host(tenant.namespace))
    address = f"127.0.0.1:{site.port}"
    async with await Client.connect(address, namespace=tenant.namespace, tls=tls) as client:
        with pytest.raises(RPCError, match="certificate is not trusted"):
            await client.count_workflows()


def test_a_certificate_goes_with_its_key() -> None:
    with pytest.raises(ValueError, match="give both or none"):
        TLSConfig(client_cert=b"x")
    assert "secret" not in repr(TLSConfig(client_cert=b"x", client_private_key=b"secret"))


async def test_the_command_line_takes_a_certificate(
    site: TlsSite, tenant: Tenant, tmp_path: Path
) -> None:
    certificate, key = leaf(ROOT).written(tmp_path)
    told = await output_of(
        *(sys.executable, "-c", COMMAND_LINE, "workflow", "list"),
        *("--address", f"127.0.0.1:{site.port}", "--namespace", tenant.namespace),
        *("--tls-ca", str(site.server_authority), "--tls-domain", site.host(tenant.namespace)),
        *("--tls-cert", str(certificate), "--tls-key", str(key)),
    )
    assert "Traceback" not in told


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_runs_a_workflow_with_a_certificate(
    site: TlsSite, tenant: Tenant, tmp_path: Path
) -> None:
    """Starts it, takes its task, completes it and reads the result: a worker in four calls."""
    certificate, key = leaf(ISSUER).with_chain(ISSUER).written(tmp_path)
    host = site.host(tenant.namespace)
    origin = f"https://{host}:{site.port}/api/v1/namespaces/{tenant.namespace}"

    async def curl(path: str, body: object) -> dict[str, object]:
        told = await output_of(
            *("curl", "--silent", "--show-error", "--fail-with-body"),
            *("--cert", str(certificate), "--key", str(key)),
            *("--cacert", str(site.server_authority)),
            *("--resolve", f"{host}:{site.port}:127.0.0.1"),
            *("--json", json.dumps(body), f"{origin}/{path}"),
        )
        answer: dict[str, object] = json.loads(told)
        return answer

    start = {"workflowType": {"name": "Curled"}, "taskQueue": {"name": "curl"}, "requestId": "r-1"}
    started = await curl("workflows/curled-1", start)
    task = await curl("task-queues/curl/poll-workflow-task", {"identity": "curl"})
    done = {
        "taskToken": task["taskToken"],
        "commands": [
            {
                "commandType": "COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION",
                "completeWorkflowExecutionCommandAttributes": {"result": ["done by curl"]},
            }
        ],
    }
    await curl("workflow-task-complete", done)
    client = await connected(site, tenant, leaf(ROOT))
    async with client:
        handle = client.get_workflow_handle("curled-1", run_id=str(started["runId"]))
        assert await handle.result() == "done by curl"


async def output_of(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        told, problem = await process.communicate()
    assert process.returncode == 0, (told, problem)
    return told.decode()
