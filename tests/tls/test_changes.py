"""What a namespace trusts is changed while it is served."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tenancy import Database, SnapshotFile, SnapshotReader, denied_certificates
from tenancy.certificates import authority_id
from tenancy.key_text import KeyDigests
from tests.tls.pki import Identity, authority, leaf, revocation_list
from tests.tls.site import REFUSED, Tenant, TlsSite, listed

OLD, NEW = authority("Acme old"), authority("Acme new")
WAIT_SECONDS_MAX = 30.0


@pytest.fixture
async def tenant(site: TlsSite) -> Tenant:
    tenant = await site.tenant()
    await tenant.trust(OLD)
    return tenant


async def outcome(site: TlsSite, tenant: Tenant, identity: Identity) -> int | str:
    return await site.outcome(site.host(tenant.namespace), tenant.namespace, identity)


async def test_a_ca_is_rolled_over_without_a_gap(site: TlsSite, tenant: Tenant) -> None:
    old, new = leaf(OLD), leaf(NEW)
    assert [await outcome(site, tenant, each) for each in (old, new)] == [200, REFUSED]
    await tenant.trust(OLD, NEW)
    assert [await outcome(site, tenant, each) for each in (old, new)] == [200, 200]
    await tenant.trust(NEW)
    assert [await outcome(site, tenant, each) for each in (old, new)] == [REFUSED, 200]


async def test_a_connection_does_not_outlive_the_trust_that_it_was_made_with(
    site: TlsSite, tenant: Tenant
) -> None:
    host = site.host(tenant.namespace)
    old, new = site.client(leaf(OLD)), site.client(leaf(NEW))
    await tenant.trust(OLD, NEW)
    for client in (old, new):
        assert (await listed(client, host, tenant.namespace)).status_code == 200
    kept = {connection.peer for connection in site.cloud.tls.connections.of(tenant.namespace)}
    assert len(kept) == 2
    await tenant.trust(NEW)
    # Its connection was closed, and it cannot make another.
    with pytest.raises(httpx.TransportError):
        await listed(old, host, tenant.namespace)
    assert (await listed(new, host, tenant.namespace)).status_code == 200
    left = {connection.peer for connection in site.cloud.tls.connections.of(tenant.namespace)}
    assert left < kept


async def test_a_poll_ends_when_its_certificate_is_not_accepted_any_more(
    site: TlsSite, tenant: Tenant
) -> None:
    host = site.host(tenant.namespace)
    worker = site.client(leaf(OLD))
    assert (await listed(worker, host, tenant.namespace)).status_code == 200
    polling = asyncio.create_task(
        worker.post(
            f"/api/v1/namespaces/{tenant.namespace}/task-queues/q/poll-workflow-task",
            json={},
            headers={"host": host},
            extensions={"sni_hostname": host},
            timeout=WAIT_SECONDS_MAX,
        )
    )
    while not site.cloud.open_calls.count:  # noqa: ASYNC110 - only until it has begun
        await asyncio.sleep(0)
    await tenant.trust(NEW)
    answer = await polling
    assert answer.status_code == 401
    assert "leads to no CA of this namespace" in answer.json()["message"]


async def test_a_denied_certificate_is_refused_and_let_in_again(
    site: TlsSite, tenant: Tenant
) -> None:
    stolen, other = leaf(OLD), leaf(OLD)
    denial = {"namespace": tenant.namespace, "fingerprint": stolen.fingerprint.upper()}
    assert await outcome(site, tenant, stolen) == 200
    for _ in range(2):
        told = await tenant.visitor.post("/api/v1/denied-certificates", denial)
        assert told["fingerprint"] == stolen.fingerprint
    assert [await outcome(site, tenant, each) for each in (stolen, other)] == [401, 200]
    path = f"/api/v1/denied-certificates/{stolen.fingerprint}"
    answer = await tenant.visitor.call("DELETE", path, namespace=tenant.namespace)
    assert answer.status_code == 204
    assert await outcome(site, tenant, stolen) == 200
    again = await tenant.visitor.call("DELETE", path, namespace=tenant.namespace)
    assert again.status_code == 404


async def test_so_many_certificates_are_denied_and_no_more(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denied_certificates, "DENIED_PER_NAMESPACE_MAX", 2)
    for digit, status in (("1", 201), ("2", 201), ("3", 429), ("2", 201)):
        body = {"namespace": tenant.namespace, "fingerprint": digit * 64}
        answer = await tenant.visitor.call("POST", "/api/v1/denied-certificates", body)
        assert answer.status_code == status


async def test_filters_say_who_is_let_in(site: TlsSite, tenant: Tenant) -> None:
    payments = leaf(OLD, common_name="pay-1", organization="Acme", unit="Payments")
    shop = leaf(OLD, common_name="shop-1", organization="Acme", unit="Shop")
    filters = [{"organization": "acme", "organizationalUnit": "PAY*"}, {"commonName": "*-7"}]
    await tenant.trust(OLD, certificateFilters=filters)
    assert [await outcome(site, tenant, each) for each in (payments, shop)] == [200, 401]
    await tenant.trust(OLD)
    assert await outcome(site, tenant, shop) == 200


async def test_certificates_can_be_turned_off_and_on(site: TlsSite, tenant: Tenant) -> None:
    worker = leaf(OLD)
    await tenant.trust(OLD, enabled=False)
    assert await outcome(site, tenant, worker) == REFUSED
    await tenant.trust(OLD)
    assert await outcome(site, tenant, worker) == 200


async def test_a_deleted_namespace_trusts_nobody(site: TlsSite, tenant: Tenant) -> None:
    host, worker = site.host(tenant.namespace), site.client(leaf(OLD))
    assert (await listed(worker, host, tenant.namespace)).status_code == 200
    path = f"/cloud/namespaces/{tenant.namespace}"
    version = (await tenant.visitor.get(path))["namespace"]["resourceVersion"]
    answer = await tenant.visitor.call("DELETE", path, resourceVersion=version)
    await tenant.visitor.finished(answer.json()["asyncOperation"])
    with pytest.raises(httpx.TransportError):
        await listed(worker, host, tenant.namespace)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_that_is_taken_up_again_is_judged_anew(
    site: TlsSite, tenant: Tenant, version: ssl.TLSVersion
) -> None:
    context = site.context(leaf(OLD))
    context.minimum_version = context.maximum_version = version
    host = site.host(tenant.namespace)
    first = await asyncio.to_thread(handshake, site, host, context, None)
    assert first.status.startswith(b"HTTP/1.1 200")
    await tenant.trust(NEW)
    second = await asyncio.to_thread(handshake, site, host, context, first.session)
    assert not second.status.startswith(b"HTTP/1.1 200")


class Shaken:
    def __init__(self, status: bytes, session: ssl.SSLSession | None) -> None:
        self.status = status
        self.session = session


def handshake(
    site: TlsSite, host: str, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> Shaken:
    """One call on a socket of its own, with the session of another if one is given."""
    namespace = host.removesuffix(".localhost")
    request = f"GET /api/v1/namespaces/{namespace}/workflows HTTP/1.1\r\nhost: {host}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.port), WAIT_SECONDS_MAX) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host, session=session) as secured:
                secured.sendall(request.encode())
                return Shaken(secured.recv(4096), secured.session)
        except (ssl.SSLError, ConnectionError):
            return Shaken(b"", None)


async def test_another_process_follows_the_change_and_keeps_it_on_disk(
    site: TlsSite, tenant: Tenant, tmp_path: Path
) -> None:
    """A frontend beside this one, which then boots without the database."""

    def now() -> datetime:
        return datetime.now(UTC)

    pepper = b"pepper of a frontend"
    file = SnapshotFile(tmp_path / "snapshot", pepper=pepper, now=now)
    database = Database(f"sqlite+aiosqlite:///{site.folder / 'control.db'}")
    reader = SnapshotReader(database=database, digests=KeyDigests(pepper), now=now, storage=file)
    await reader.start()
    changed: list[str] = []
    reader.on_trust_changed(changed.append)
    before = reader.trust(tenant.namespace)
    await tenant.trust(NEW)
    await tenant.visitor.post(
        "/api/v1/denied-certificates",
        {"namespace": tenant.namespace, "fingerprint": "ab" * 32},
    )
    lost = leaf(NEW)
    await tenant.visitor.post(
        "/api/v1/revocation-lists",
        {"namespace": tenant.namespace, "revocation_list": revocation_list(NEW, lost)},
    )
    await reader.refresh()
    after = reader.trust(tenant.namespace)
    assert before is not None
    assert after is not None
    assert (before.trust.authorities, after.trust.authorities) == (OLD.pem, NEW.pem)
    assert after.denied == {"ab" * 32}
    assert after.revoked == {authority_id(NEW.certificate): {lost.certificate.serial_number}}
    assert changed == [tenant.namespace]
    assert file.load().trusts[tenant.namespace] == after
    await database.aclose()
