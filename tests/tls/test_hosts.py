from __future__ import annotations

import asyncio
import ssl

import httpx
import pytest

from tests.tls import zoo
from tests.tls.pki import authority, leaf
from tests.tls.site import REFUSED, Tenant, TlsSite, listed

START = "/api/v1/namespaces/{}/workflows/{}"


@pytest.fixture(scope="module")
async def tenant(site: TlsSite) -> Tenant:
    tenant = await site.tenant()
    assert (await tenant.trust(*zoo.trusted())).is_success
    return tenant


async def test_a_certificate_opens_its_own_namespace_and_no_other(site: TlsSite) -> None:
    acme, rival = await site.tenant(), await site.tenant()
    acme_root, rival_root = authority("Acme"), authority("Rival")
    await acme.trust(acme_root)
    await rival.trust(rival_root)
    worker, spy = leaf(acme_root), leaf(rival_root)
    acme_host, rival_host = site.host(acme.namespace), site.host(rival.namespace)
    assert await site.outcome(acme_host, acme.namespace, worker) == 200
    assert await site.outcome(rival_host, rival.namespace, spy) == 200
    assert await site.outcome(acme_host, acme.namespace, spy) == REFUSED
    assert await site.outcome(rival_host, acme.namespace, spy) == 421
    assert await site.outcome(acme_host, rival.namespace, worker) == 421


CALLS = (
    ("GET", "/api/v1/namespaces/{}"),
    ("GET", "/api/v1/namespaces/{}/workflows"),
    ("GET", "/api/v1/namespaces/{}/workflows/w-1"),
    ("GET", "/api/v1/namespaces/{}/workflows/w-1/history"),
    ("POST", "/api/v1/namespaces/{}/workflows/w-1"),
    ("POST", "/api/v1/namespaces/{}/workflows/w-1/signal/go"),
    ("POST", "/api/v1/namespaces/{}/workflows/w-1/terminate"),
    ("GET", "/cloud/namespaces/{}"),
    ("GET", "/cloud/current-identity"),
)


async def test_no_call_with_a_certificate_crosses_from_host_to_host(site: TlsSite) -> None:
    """At the neighbour's host it is nobody's; at its own it speaks of its own namespace only."""
    acme, rival = await site.tenant(), await site.tenant()
    acme_root, rival_root = authority("Acme"), authority("Rival")
    await acme.trust(acme_root)
    await rival.trust(rival_root)
    for ours, theirs, certificate in (
        (acme, rival, leaf(acme_root)),
        (rival, acme, leaf(rival_root)),
    ):
        own_host, foreign_host = site.host(ours.namespace), site.host(theirs.namespace)
        own, foreign = site.client(certificate), site.client(certificate)
        for verb, path in CALLS:
            for named in (ours.namespace, theirs.namespace):
                with pytest.raises(httpx.TransportError):
                    await called(foreign, foreign_host, verb, path, named)
            told = await called(own, own_host, verb, path, theirs.namespace)
            absent = await called(own, own_host, verb, path, "orders.aaaaaa")
            assert told.status_code == absent.status_code
            assert told.text == absent.text.replace("orders.aaaaaa", theirs.namespace)
            assert told.is_success == ("{}" not in path)
            # The connection is there; the other host is not behind it.
            assert (
                await called(own, foreign_host, verb, path, theirs.namespace)
            ).status_code == 421


async def test_a_key_opens_no_host_of_another_account(site: TlsSite) -> None:
    """With no certificate, or with one that the host trusts."""
    acme, rival = await site.tenant(), await site.tenant()
    root = authority("Acme")
    await acme.trust(root)
    key = {"authorization": f"Bearer {await rival.visitor.key()}"}
    host, own_host = site.host(acme.namespace), site.host(rival.namespace)
    for client in (site.client(), site.client(leaf(root))):
        for verb, path in CALLS[:-1]:
            answer = await called(client, host, verb, path, acme.namespace, **key)
            assert answer.status_code == 404
            answer = await called(client, host, verb, path, rival.namespace, **key)
            assert answer.status_code == 421
    for verb, path in CALLS[:-1]:
        answer = await called(site.client(), own_host, verb, path, acme.namespace, **key)
        assert answer.status_code == 421


CONTROL_CALLS = (
    ("GET", "/api/v1/client-certificates?namespace={}", None),
    ("GET", "/api/v1/usage?namespace={}", None),
    ("POST", "/api/v1/denied-certificates", {"fingerprint": "00"}),
    ("POST", "/api/v1/revocation-lists", {"revocation_list": ""}),
    ("POST", "/api/v1/budgets", {"name": "x"}),
)


@pytest.mark.parametrize(("verb", "path", "body"), CONTROL_CALLS)
async def test_what_the_control_plane_is_asked_is_about_the_host_too(
    site: TlsSite, verb: str, path: str, body: dict[str, str] | None
) -> None:
    acme, rival = await site.tenant(), await site.tenant()
    key = {"authorization": f"Bearer {await acme.visitor.key()}"}
    other = await acme.visitor.namespace("billing")

    async def status(host: str, named: str) -> int:
        content = None if body is None else {**body, "namespace": named}
        host = site.host(host)
        answer = await site.client().request(
            verb,
            path.format(named),
            json=content,
            headers={"host": host, **key},
            extensions={"sni_hostname": host},
        )
        return answer.status_code

    assert await status(acme.namespace, acme.namespace) in (200, 400)
    for host, named in (
        (acme.namespace, other),
        (acme.namespace, "orders.aaaaaa"),
        (rival.namespace, acme.namespace),
        (rival.namespace, rival.namespace),
    ):
        assert await status(host, named) == 421


async def test_an_account_is_asked_about_at_its_own_hosts(site: TlsSite) -> None:
    acme, rival = await site.tenant(), await site.tenant()
    key = {"authorization": f"Bearer {await acme.visitor.key()}"}
    for tenant, status in ((acme, 200), (rival, 421)):
        answer = await called(
            site.client(), site.host(tenant.namespace), "GET", "/api/v1/billing", "", **key
        )
        assert answer.status_code == status


async def called(
    client: httpx.AsyncClient,
    host: str,
    verb: str,
    path: str,
    namespace: str,
    **headers: str,
) -> httpx.Response:
    return await client.request(
        verb,
        path.format(namespace),
        headers={"host": host, **headers},
        extensions={"sni_hostname": host},
    )


async def test_another_namespace_of_the_account_has_a_trust_of_its_own(
    site: TlsSite, tenant: Tenant
) -> None:
    other = await tenant.visitor.namespace("billing")
    assert await site.outcome(site.host(other), other, leaf(zoo.root())) == REFUSED


async def test_keys_and_certificates_are_taken_at_one_port(site: TlsSite, tenant: Tenant) -> None:
    key = ("authorization", f"Bearer {await tenant.visitor.key()}")
    host, name = site.host(tenant.namespace), tenant.namespace
    assert await site.outcome(host, name) == 401
    assert await site.outcome(host, name, headers=[key]) == 200
    assert await site.outcome("localhost", name, headers=[key]) == 200
    assert await site.outcome(host, name, leaf(zoo.root()), headers=[key]) == 200


@pytest.mark.parametrize("host", ["localhost", "x.y.localhost", "orders.cloud.example"])
async def test_a_certificate_at_a_host_that_is_no_namespace_is_refused(
    site: TlsSite, tenant: Tenant, host: str
) -> None:
    context = site.context(leaf(zoo.root()))
    context.check_hostname = False
    assert await site.outcome(host, tenant.namespace, context=context) == REFUSED


async def test_a_certificate_without_a_server_name_is_refused(
    site: TlsSite, tenant: Tenant
) -> None:
    client = site.client(leaf(zoo.root()))
    with pytest.raises(httpx.TransportError):
        await client.get("/healthz")


async def test_a_client_without_a_server_name_may_use_a_key(site: TlsSite, tenant: Tenant) -> None:
    key = await tenant.visitor.key()
    path = f"/api/v1/namespaces/{tenant.namespace}/workflows"
    answer = await site.client().get(path, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200


async def test_the_host_header_must_be_the_name_of_the_handshake(
    site: TlsSite, tenant: Tenant
) -> None:
    other = await site.tenant()
    host, name = site.host(tenant.namespace), tenant.namespace
    worker = leaf(zoo.root())
    for asked in (site.host(other.namespace), "localhost", ""):
        headers = [("host", asked)]
        assert await site.outcome(host, name, worker, headers=headers) == 421
    for asked in (f"{host}:{site.port}", host.upper()):
        assert await site.outcome(host, name, worker, headers=[("host", asked)]) == 200


async def test_the_body_must_name_the_namespace_of_the_host(site: TlsSite, tenant: Tenant) -> None:
    other = await site.tenant()
    host = site.host(tenant.namespace)
    client = site.client(leaf(zoo.root()))
    extensions, headers = {"sni_hostname": host}, {"host": host}
    service = "/temporal.api.workflowservice.v1.WorkflowService/CountWorkflowExecutions"
    for named, status in ((tenant.namespace, 200), (other.namespace, 421), ("", 400)):
        answer = await client.post(
            service, json={"namespace": named}, headers=headers, extensions=extensions
        )
        assert answer.status_code == status
    answer = await client.post(
        START.format(tenant.namespace, "w-1"),
        json={"namespace": other.namespace},
        headers=headers,
        extensions=extensions,
    )
    assert (answer.status_code, answer.json()["code"]) == (400, 3)


async def test_the_namespace_header_must_agree_too(site: TlsSite, tenant: Tenant) -> None:
    other = await site.tenant()
    host, hint = site.host(tenant.namespace), [("temporal-namespace", other.namespace)]
    assert await site.outcome(host, tenant.namespace, leaf(zoo.root()), headers=hint) == 400


async def test_a_key_too_is_held_to_the_host_that_it_comes_to(
    site: TlsSite, tenant: Tenant
) -> None:
    key = [("authorization", f"Bearer {await tenant.visitor.key()}")]
    other = await tenant.visitor.namespace("archive")
    assert await site.outcome(site.host(tenant.namespace), other, headers=key) == 421


async def test_a_refusal_says_what_does_not_agree(site: TlsSite, tenant: Tenant) -> None:
    other = await site.tenant()
    host = site.host(tenant.namespace)
    client = site.client(leaf(zoo.root()))
    answer = await listed(client, host, other.namespace)
    (detail,) = answer.json()["details"]
    assert detail["fieldViolations"][0]["field"] == "namespace"
    assert host in answer.json()["message"]


@pytest.mark.parametrize("header", ["origin", "sec-fetch-site"])
async def test_no_page_may_use_the_certificate_of_a_browser(
    site: TlsSite, tenant: Tenant, header: str
) -> None:
    told = [(header, "https://evil.example")]
    host = site.host(tenant.namespace)
    assert await site.outcome(host, tenant.namespace, leaf(zoo.root()), headers=told) == 401


@pytest.mark.parametrize("header", ["x-client-cert", "x-forwarded-client-cert"])
async def test_a_forwarded_certificate_is_nothing_where_there_is_no_proxy(
    site: TlsSite, tenant: Tenant, header: str
) -> None:
    told = [(header, "forged"), ("x-perdure-hop", "")]
    host = site.host(tenant.namespace)
    assert await site.outcome(host, tenant.namespace, headers=told) == 401


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_current_versions_of_tls_are_spoken(
    site: TlsSite, tenant: Tenant, version: ssl.TLSVersion
) -> None:
    context = site.context(zoo.GOOD["two intermediates"]())
    context.minimum_version = context.maximum_version = version
    host = site.host(tenant.namespace)
    assert await site.outcome(host, tenant.namespace, context=context) == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_an_old_version_of_tls_is_refused(site: TlsSite, tenant: Tenant) -> None:
    context = site.context()
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert await site.outcome(site.host(tenant.namespace), tenant.namespace, context=context) == (
        REFUSED
    )


async def test_a_certificate_has_no_rights_outside_its_namespace(
    site: TlsSite, tenant: Tenant
) -> None:
    host = site.host(tenant.namespace)
    client = site.client(leaf(zoo.root()))
    extensions, headers = {"sni_hostname": host}, {"host": host}
    for verb, path, status in (
        ("GET", "/cloud/current-identity", 200),
        ("GET", "/cloud/users", 403),
        ("GET", "/cloud/api-keys", 403),
        ("POST", "/cloud/api-keys", 403),
        ("POST", "/cloud/namespaces", 403),
        ("DELETE", f"/cloud/namespaces/{tenant.namespace}", 400),
        ("DELETE", f"/cloud/namespaces/{tenant.namespace}?resourceVersion=2", 403),
        ("GET", f"/api/v1/client-certificates?namespace={tenant.namespace}", 401),
    ):
        answer = await client.request(verb, path, headers=headers, extensions=extensions)
        assert (path, answer.status_code) == (path, status)


async def test_what_a_certificate_does_is_in_the_audit_log(site: TlsSite, tenant: Tenant) -> None:
    """A denial is; it names the certificate by its fingerprint."""
    host = site.host(tenant.namespace)
    worker = leaf(zoo.root())
    client = site.client(worker)
    answer = await client.get(
        "/cloud/users", headers={"host": host}, extensions={"sni_hostname": host}
    )
    assert answer.status_code == 403
    assert ("certificate", worker.fingerprint, "denied") in await site.audited(tenant)


async def test_a_client_that_says_nothing_does_not_keep_the_others_waiting(
    site: TlsSite, tenant: Tenant
) -> None:
    _, silent = await asyncio.open_connection("127.0.0.1", site.port)
    host = site.host(tenant.namespace)
    assert await site.outcome(host, tenant.namespace, leaf(zoo.root())) == 200
    silent.close()
    await silent.wait_closed()
