"""A server as it is started from a shell, on the event loop that it really runs on."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.control.visitor import PASSWORD, Visitor
from tests.product.server import Preloaded, free_port, serving
from tests.tls.pki import authority, leaf
from tests.tls.site import listed


@pytest.fixture
def preloaded() -> Iterator[Preloaded]:
    preloaded = Preloaded()
    yield preloaded
    preloaded.close()


async def test_a_killed_server_knows_its_clients_and_is_known_by_them(
    preloaded: Preloaded, tmp_path: Path
) -> None:
    data, port, root = tmp_path / "data", free_port(), authority("Acme")
    trust = {"enabled": True, "acceptedClientCa": base64.b64encode(root.pem.encode()).decode()}
    async with serving(preloaded, data, "--tls-port", str(port)) as product:
        async with product.client() as http:
            owner = Visitor(http)
            told = await owner.post(
                "/api/v1/sign-up", {"email": "ada@example.com", "password": PASSWORD}
            )
            http.headers["X-CSRF-Token"] = told["csrf_token"]
            spec = {"name": "orders", "retentionDays": 7, "mtlsAuth": trust}
            made = await owner.post("/cloud/namespaces", {"spec": spec})
            await owner.finished(made["asyncOperation"])
        namespace = made["namespace"]
        context = ssl.create_default_context(cafile=data / "tls" / "ca.pem")
        context.load_cert_chain(*leaf(root).written(tmp_path))
        address = f"https://127.0.0.1:{port}"
        for restarts in (True, False):
            async with httpx.AsyncClient(
                base_url=address, verify=context, trust_env=False
            ) as worker:
                answer = await listed(worker, f"{namespace}.localhost", namespace)
                assert answer.status_code == 200
            if restarts:
                product.kill()
                await product.start()
