"""The console's page of client certificates, on the real API."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.tls.pki import Identity, authority, leaf, revocation_list
from tests.tls.site import Tenant, TlsSite

ROOT = authority("Acme root", organization="Acme")


class Browser:
    """The tenant's owner at the page."""

    def __init__(self, tenant: Tenant) -> None:
        self._http = tenant.visitor.http
        self._csrf = self._http.headers["X-CSRF-Token"]
        self.path = f"/namespaces/{tenant.namespace}/certificates"

    async def page(self, path: str = "") -> httpx.Response:
        return await self._http.get(path or self.path, headers={"accept": "text/html"})

    async def send(self, path: str, **form: str) -> httpx.Response:
        headers = {"accept": "text/html"}
        data = {"csrf": self._csrf, **form}
        return await self._http.post(self.path + path, data=data, headers=headers)

    async def save(self, authorities: str, **form: str) -> httpx.Response:
        found = re.search(r'name="resource_version" value="(\d+)"', (await self.page()).text)
        assert found is not None
        form = {"enabled": "on", "filters": "", **form}
        return await self.send("", authorities=authorities, resource_version=found[1], **form)


@pytest.fixture
async def tenant(site: TlsSite) -> Tenant:
    return await site.tenant()


async def outcome(site: TlsSite, tenant: Tenant, identity: Identity) -> int | str:
    return await site.outcome(site.host(tenant.namespace), tenant.namespace, identity)


async def test_a_ca_is_pasted_and_trusted(site: TlsSite, tenant: Tenant) -> None:
    browser = Browser(tenant)
    answer = await browser.save(ROOT.pem.replace("\n", "\r\n"), filters="o=acme; cn=worker-*")
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"{browser.path}?notice=trusted",
    )
    text = (await browser.page()).text
    assert "speaks no TLS" not in text
    assert site.host(tenant.namespace) in text
    assert "CN=Acme root" in text
    assert ROOT.fingerprint[:16] in text
    assert f"{ROOT.certificate.not_valid_after_utc:%Y}" in text
    assert "cn=worker-*; o=acme" in text
    good, other = (leaf(ROOT, common_name=name, organization="Acme") for name in ("worker-1", "x"))
    assert [await outcome(site, tenant, each) for each in (good, other)] == [200, 401]


async def test_a_refused_bundle_stays_in_the_form_beside_the_reason(tenant: Tenant) -> None:
    browser = Browser(tenant)
    worker = leaf(ROOT)
    answer = await browser.save(worker.pem, filters="cn=a")
    assert answer.status_code == 400
    assert "certificate 1 (worker) is not a CA" in answer.text
    assert worker.pem.splitlines()[1] in answer.text
    assert "cn=a</textarea>" in answer.text


async def test_a_filter_that_is_not_one_is_said_to_be_so(tenant: Tenant) -> None:
    answer = await Browser(tenant).save(ROOT.pem, filters="issuer=x")
    assert answer.status_code == 400
    assert "A filter is made of cn, o, ou, san" in answer.text


async def test_a_change_of_what_another_changed_meanwhile_is_refused(tenant: Tenant) -> None:
    browser = Browser(tenant)
    stale = await browser.send("", authorities=ROOT.pem, resource_version="1", filters="")
    assert stale.status_code == 409


async def test_a_certificate_is_denied_and_allowed_again(site: TlsSite, tenant: Tenant) -> None:
    browser, worker = Browser(tenant), leaf(ROOT)
    await browser.save(ROOT.pem)
    assert (await browser.send("/denied", fingerprint=worker.fingerprint)).status_code == 303
    assert worker.fingerprint[:16] in (await browser.page()).text
    assert await outcome(site, tenant, worker) == 401
    assert (await browser.send(f"/denied/{worker.fingerprint}/allow")).status_code == 303
    assert worker.fingerprint[:16] not in (await browser.page()).text
    assert await outcome(site, tenant, worker) == 200
    refused = await browser.send("/denied", fingerprint="zz")
    assert (refused.status_code, "64 hexadecimal digits" in refused.text) == (400, True)


async def test_a_revocation_list_is_uploaded_and_removed(site: TlsSite, tenant: Tenant) -> None:
    browser, worker = Browser(tenant), leaf(ROOT)
    await browser.save(ROOT.pem)
    text = revocation_list(ROOT, worker).replace("\n", "\r\n")
    answer = await browser.send("/revocation-lists", revocation_list=text)
    assert answer.headers["location"] == f"{browser.path}?notice=list-uploaded"
    assert await outcome(site, tenant, worker) == 401
    page = (await browser.page()).text
    assert "1 revoked, issued" in page
    removal = re.search(r"/revocation-lists/[0-9a-f]{64}/remove", page)
    assert removal is not None
    assert (await browser.send(removal[0])).status_code == 303
    assert await outcome(site, tenant, worker) == 200
    foreign = revocation_list(authority("Eve"))
    refused = await browser.send("/revocation-lists", revocation_list=foreign)
    assert (refused.status_code, "is of no CA of this namespace" in refused.text) == (400, True)
    assert foreign.splitlines()[1] in refused.text


async def test_what_expires_soon_is_shown_to_do_so(tenant: Tenant) -> None:
    browser = Browser(tenant)
    await browser.save(ROOT.pem + authority("Short", days_to=10).pem)
    text = (await browser.page()).text
    assert text.count("Expires soon") == 1
    assert text.count("Trusted") == 1
