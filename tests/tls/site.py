"""The whole cloud in this process, listening for TLS, and clients that call it."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from api.composition import Cloud, CloudSettings, open_cloud
from api.installation import installation
from api.server import Secured, Server, bound_socket
from api.tls import TlsSettings
from engine.persistence.memory import MemoryStore
from tenancy import AuditRecord, Database
from tests.control.visitor import ADDRESS, Visitor
from tests.control.visitor import Site as PlainSite
from tests.tls.pki import Identity

CALL_SECONDS_MAX = 30.0
REFUSED = "refused"
"""What a client sees of a handshake that did not succeed."""


@dataclass
class Tenant:
    """An account with one namespace."""

    visitor: Visitor
    namespace: str

    async def trust(self, *authorities: Identity, **mtls: Any) -> httpx.Response:
        """Sets what the namespace trusts and waits until that is done."""
        pem = "".join(each.pem for each in authorities)
        wanted: dict[str, Any] = {"enabled": True, **mtls}
        wanted.setdefault("acceptedClientCa", base64.b64encode(pem.encode()).decode())
        path = f"/cloud/namespaces/{self.namespace}"
        found = (await self.visitor.get(path))["namespace"]
        body = {
            "spec": {**found["spec"], "mtlsAuth": wanted},
            "resourceVersion": found["resourceVersion"],
        }
        answer = await self.visitor.call("POST", path, body)
        if answer.is_success:
            await self.visitor.finished(answer.json()["asyncOperation"])
        return answer


@dataclass
class TlsSite:
    cloud: Cloud
    port: int
    plain_port: int
    folder: Path
    plain: PlainSite
    database: Database
    _clients: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def server_authority(self) -> Path:
        return self.folder / "tls" / "ca.pem"

    def host(self, namespace: str) -> str:
        return f"{namespace}.localhost"

    async def tenant(self, name: str = "orders") -> Tenant:
        visitor = await self.plain.owner()
        return Tenant(visitor, await visitor.namespace(name))

    def context(self, identity: Identity | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.server_authority)
        # Weak certificates are for the server to refuse.
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        if identity is not None:
            context.load_cert_chain(*identity.written(self.folder))
        return context

    def client(
        self, identity: Identity | None = None, context: ssl.SSLContext | None = None
    ) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{self.port}",
            verify=context or self.context(identity),
            timeout=CALL_SECONDS_MAX,
            trust_env=False,
        )
        self._clients.append(client)
        return client

    async def outcome(
        self,
        host: str,
        namespace: str,
        identity: Identity | None = None,
        *,
        context: ssl.SSLContext | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> int | str:
        """The status of a call about that namespace on a connection of its own."""
        client = self.client(identity, context)
        try:
            answer = await listed(client, host, namespace, headers)
        except httpx.TransportError:
            return REFUSED
        finally:
            await client.aclose()
        return answer.status_code

    async def audited(self, tenant: Tenant) -> list[tuple[str, str, str]]:
        """Who did something in the tenant's account, and what came of it."""
        async with self.database.reading() as session:
            records = await session.scalars(
                sa.select(AuditRecord).where(AuditRecord.account_id == tenant.visitor.account_id)
            )
            return [(it.actor_kind, it.actor_id, it.result) for it in records]

    async def leave(self) -> None:
        for client in self._clients:
            await client.aclose()


async def listed(
    client: httpx.AsyncClient,
    host: str,
    namespace: str,
    headers: Sequence[tuple[str, str]] = (),
) -> httpx.Response:
    """The namespace's workflows, asked for at that host."""
    return await client.get(
        f"/api/v1/namespaces/{namespace}/workflows",
        headers={"host": host, **dict(headers)},
        extensions={"sni_hostname": host},
    )


@asynccontextmanager
async def serving(data: Path, settings: TlsSettings | None = None) -> AsyncIterator[TlsSite]:
    with installation(data) as held:
        settings = settings or TlsSettings(port=0)
        async with open_cloud(held, MemoryStore(), CloudSettings(ADDRESS, tls=settings)) as cloud:
            plain, secured = bound_socket("127.0.0.1", 0), bound_socket("127.0.0.1", 0)
            assert cloud.tls.trust is not None
            server = Server(
                cloud.app,
                drain=cloud.drain,
                secured=Secured(secured, cloud.tls.trust.base, cloud.tls.connections),
            )
            port, plain_port = secured.getsockname()[1], plain.getsockname()[1]
            running = asyncio.create_task(server.serve([plain]))
            while not server.started:  # noqa: ASYNC110 - only while it starts
                await asyncio.sleep(0.01)
            database = Database(held.database_url)
            site = TlsSite(cloud, port, plain_port, held.data, PlainSite(cloud), database)
            try:
                yield site
            finally:
                await site.leave()
                server.should_exit = True
                await running
                await database.aclose()
