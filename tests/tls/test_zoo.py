"""Each certificate of the zoo through a real handshake, and by the application's check alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tenancy import CertificateTrust, NamespaceRef, NamespaceTrust, Unauthenticated, accept
from tests.tls import zoo
from tests.tls.pki import leaf
from tests.tls.site import REFUSED, Tenant, TlsSite

REF = NamespaceRef("acme", "id-1", "orders", "cell-1", 1)


TWINS = {"the same name": zoo.hostile, "the same letters": zoo.printable}


@pytest.fixture(scope="session")
async def neighbours(site: TlsSite) -> dict[str, Tenant]:
    """Each trusts a CA that calls itself, and its key, as the tenant's does."""
    found = {}
    for kind, make in TWINS.items():
        found[kind] = await site.tenant()
        assert (await found[kind].trust(make())).is_success
    return found


@pytest.fixture(scope="session")
async def tenant(site: TlsSite, neighbours: dict[str, Tenant]) -> Tenant:
    tenant = await site.tenant()
    assert (await tenant.trust(*zoo.trusted())).is_success
    for lost in (zoo.denied(), zoo.denied_issuer()):
        await tenant.visitor.post(
            "/api/v1/denied-certificates",
            {"namespace": tenant.namespace, "fingerprint": lost.fingerprint},
        )
    return tenant


def trust() -> NamespaceTrust:
    pem = "".join(each.pem for each in zoo.trusted())
    denied = {zoo.denied().fingerprint, zoo.denied_issuer().fingerprint}
    return NamespaceTrust(REF, CertificateTrust(True, pem), frozenset(denied))


@pytest.mark.parametrize("kind", zoo.GOOD)
async def test_a_good_certificate_is_let_in(site: TlsSite, tenant: Tenant, kind: str) -> None:
    host = site.host(tenant.namespace)
    assert await site.outcome(host, tenant.namespace, zoo.GOOD[kind]()) == 200


@pytest.mark.parametrize("kind", zoo.BAD)
async def test_a_bad_certificate_is_refused(site: TlsSite, tenant: Tenant, kind: str) -> None:
    host = site.host(tenant.namespace)
    assert await site.outcome(host, tenant.namespace, zoo.BAD[kind]()) in (401, REFUSED)


@pytest.mark.parametrize("kind", TWINS)
async def test_a_twin_opens_its_own_host_and_no_other(
    site: TlsSite, tenant: Tenant, neighbours: dict[str, Tenant], kind: str
) -> None:
    """In either direction; a certificate that nobody accepts anywhere would prove nothing."""
    neighbour, its_root = neighbours[kind], TWINS[kind]()
    host, theirs = site.host(tenant.namespace), site.host(neighbour.namespace)
    for spy in (leaf(its_root), leaf(its_root).with_chain(its_root)):
        assert await site.outcome(theirs, neighbour.namespace, spy) == 200
        assert await site.outcome(host, tenant.namespace, spy) == REFUSED
        assert await site.outcome(theirs, tenant.namespace, spy) == 421
    worker = leaf(zoo.root())
    assert await site.outcome(theirs, neighbour.namespace, worker) == REFUSED
    assert await site.outcome(host, tenant.namespace, worker) == 200


@pytest.mark.parametrize("kind", TWINS)
def test_the_application_tells_twins_apart_by_itself(kind: str) -> None:
    its_root = TWINS[kind]()
    other = NamespaceTrust(REF, CertificateTrust(True, its_root.pem), frozenset())
    now = datetime.now(UTC)
    assert accept(other, leaf(its_root).presented, now).principal.account_id == REF.account_id
    with pytest.raises(Unauthenticated):
        accept(trust(), leaf(its_root).presented, now)
    with pytest.raises(Unauthenticated):
        accept(other, leaf(zoo.root()).presented, now)


@pytest.mark.parametrize("kind", zoo.GOOD)
def test_the_application_accepts_a_good_certificate_by_itself(kind: str) -> None:
    identity = zoo.GOOD[kind]()
    accepted = accept(trust(), identity.presented, datetime.now(UTC))
    assert accepted.principal.id == identity.fingerprint
    assert accepted.principal.account_id == REF.account_id
    assert list(accepted.principal.grants) == [REF.id]
    assert accepted.until <= identity.certificate.not_valid_after_utc


@pytest.mark.parametrize("kind", zoo.BAD)
def test_the_application_refuses_a_bad_certificate_by_itself(kind: str) -> None:
    """As it must behind a proxy, which lets every certificate pass."""
    presented = zoo.BAD[kind]().presented
    with pytest.raises(Unauthenticated):
        accept(trust(), presented, datetime.now(UTC))


def test_no_certificate_is_nobody() -> None:
    with pytest.raises(Unauthenticated):
        accept(trust(), [], datetime.now(UTC))


def test_what_is_no_certificate_is_refused() -> None:
    with pytest.raises(Unauthenticated):
        accept(trust(), [b"\x30\x03\x02\x01\x01"], datetime.now(UTC))
