"""A CA's list says which of its certificates are refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tenancy import (
    CertificateTrust,
    InvalidField,
    NamespaceRef,
    NamespaceTrust,
    Unauthenticated,
    UnauthenticatedReason,
    accept,
    revocation_lists,
)
from tenancy.certificates import authority_id
from tenancy.revocation_upload import AHEAD_SECONDS_MAX, LIST_CHARACTERS_MAX, read_list
from tests.tls.pki import Identity, authority, leaf, revocation_list, rsa_key, twin
from tests.tls.site import Tenant, TlsSite, listed

ROOT, OTHER = authority("Root"), authority("Other")
ISSUER = authority("Issuer", ROOT)
RSA_ROOT = authority("RSA root", key=rsa_key())
MUTE = authority("Mute", may_sign=False)
REF = NamespaceRef("acme", "id-1", "orders", "cell-1", 1)
AUTHORITIES = [each.certificate for each in (ROOT, OTHER, RSA_ROOT, MUTE)]
PATH = "/api/v1/revocation-lists"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def tenant(site: TlsSite) -> Tenant:
    tenant = await site.tenant()
    await tenant.trust(ROOT, OTHER)
    return tenant


async def outcome(site: TlsSite, tenant: Tenant, identity: Identity) -> int | str:
    return await site.outcome(site.host(tenant.namespace), tenant.namespace, identity)


async def upload(tenant: Tenant, text: str) -> int:
    body = {"namespace": tenant.namespace, "revocation_list": text}
    return (await tenant.visitor.call("POST", PATH, body)).status_code


async def test_a_revoked_certificate_is_refused_and_its_connection_ends(
    site: TlsSite, tenant: Tenant
) -> None:
    lost, good, elsewhere = leaf(ROOT), leaf(ROOT), leaf(OTHER)
    host, worker = site.host(tenant.namespace), site.client(lost)
    assert (await listed(worker, host, tenant.namespace)).status_code == 200
    (open_before,) = site.cloud.tls.connections.of(tenant.namespace)
    assert await upload(tenant, revocation_list(ROOT, lost)) == 201
    answer = await listed(worker, host, tenant.namespace)
    assert (answer.status_code, "was revoked by its CA" in answer.text) == (401, True)
    assert open_before not in site.cloud.tls.connections.of(tenant.namespace)
    assert [await outcome(site, tenant, each) for each in (good, elsewhere)] == [200, 200]


async def test_a_newer_list_takes_the_place_of_the_one_before(
    site: TlsSite, tenant: Tenant
) -> None:
    first, second = leaf(ROOT), leaf(ROOT)
    old, new = revocation_list(ROOT, first, days_from=-2), revocation_list(ROOT, second)
    other = revocation_list(OTHER, leaf(OTHER))
    assert [await upload(tenant, text) for text in (old, other, new)] == [201] * 3
    assert [await outcome(site, tenant, each) for each in (first, second)] == [200, 401]
    answer = await tenant.visitor.call(
        "POST", PATH, {"namespace": tenant.namespace, "revocation_list": old}
    )
    assert (answer.status_code, "is older than the one that is there" in answer.text) == (400, True)
    assert await upload(tenant, new) == 201
    shown = await tenant.visitor.get("/api/v1/client-certificates", namespace=tenant.namespace)
    told = [(it["issuer"], it["revoked_count"]) for it in shown["revocation_lists"]]
    assert told == [("CN=Other", 1), ("CN=Root", 1)]


async def test_a_list_that_is_removed_revokes_nothing(site: TlsSite, tenant: Tenant) -> None:
    lost = leaf(ROOT)
    await upload(tenant, revocation_list(ROOT, lost))
    assert await outcome(site, tenant, lost) == 401
    path = f"{PATH}/{authority_id(ROOT.certificate)}"
    answer = await tenant.visitor.call("DELETE", path, namespace=tenant.namespace)
    assert answer.status_code == 204
    assert await outcome(site, tenant, lost) == 200
    again = await tenant.visitor.call("DELETE", path, namespace=tenant.namespace)
    assert again.status_code == 404


async def test_a_list_outlives_a_renewal_of_its_ca_and_not_its_trust(
    site: TlsSite, tenant: Tenant
) -> None:
    lost = leaf(ROOT)
    await upload(tenant, revocation_list(ROOT, lost))
    await tenant.trust(authority("Root", key=ROOT.key), OTHER)
    assert await outcome(site, tenant, lost) == 401
    await tenant.trust(OTHER)
    await upload(tenant, revocation_list(OTHER))
    shown = await tenant.visitor.get("/api/v1/client-certificates", namespace=tenant.namespace)
    assert [it["issuer"] for it in shown["revocation_lists"]] == ["CN=Other"]


async def test_so_many_are_revoked_and_no_more(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All lists of a namespace together."""
    monkeypatch.setattr(revocation_lists, "REVOKED_PER_NAMESPACE_MAX", 3)
    leaves = [leaf(ROOT) for _ in range(3)]
    assert await upload(tenant, revocation_list(OTHER, leaf(OTHER))) == 201
    assert await upload(tenant, revocation_list(ROOT, *leaves)) == 429
    assert await upload(tenant, revocation_list(ROOT, *leaves[:2])) == 201
    assert await upload(tenant, revocation_list(ROOT, *leaves[1:])) == 201


async def test_who_may_not_administer_a_namespace_changes_no_list(
    site: TlsSite, tenant: Tenant
) -> None:
    body = {"namespace": tenant.namespace, "revocation_list": revocation_list(ROOT)}
    rival = await site.tenant()
    writer = site.plain.program(await tenant.visitor.key(namespaces={tenant.namespace: "write"}))
    await tenant.visitor.post(PATH, body)
    path = f"{PATH}/{authority_id(ROOT.certificate)}"
    for caller, status in ((rival.visitor, 404), (writer, 403)):
        assert (await caller.call("POST", PATH, body)).status_code == status
        answer = await caller.call("DELETE", path, namespace=tenant.namespace)
        assert answer.status_code == status


def trust(*bundle: Identity, revoked: tuple[Identity, str]) -> NamespaceTrust:
    """With the list of one of them."""
    issuer, text = revoked
    read = read_list(text, [issuer.certificate], now())
    pem = "".join(each.pem for each in bundle)
    return NamespaceTrust(
        REF, CertificateTrust(True, pem), frozenset(), {read.authority: read.serials}
    )


def reason(told: NamespaceTrust, identity: Identity, at: datetime) -> UnauthenticatedReason | None:
    try:
        accept(told, identity.presented, at)
    except Unauthenticated as refusal:
        return refusal.reason
    return None


@pytest.mark.parametrize("bundle", [(ROOT,), (ROOT, ISSUER), (ISSUER, ROOT)])
def test_what_a_revoked_intermediate_issued_is_refused(bundle: tuple[Identity, ...]) -> None:
    """Also where the bundle has it, and the chain could end there."""
    worker = leaf(ISSUER).with_chain(ISSUER)
    told = trust(*bundle, revoked=(ROOT, revocation_list(ROOT, ISSUER)))
    assert reason(told, worker, now()) is UnauthenticatedReason.REVOKED_CERTIFICATE
    told = trust(*bundle, revoked=(ROOT, revocation_list(ROOT, worker)))
    assert reason(told, worker, now()) is None


def test_a_number_is_revoked_where_its_ca_gave_it_only() -> None:
    """Two CAs may give the same number, and one of them must not speak for the other."""
    worker = leaf(ROOT)
    told = trust(ROOT, OTHER, revoked=(OTHER, revocation_list(OTHER, worker)))
    assert reason(told, worker, now()) is None


def test_a_list_that_is_out_of_date_goes_on_holding() -> None:
    lost, good = leaf(ROOT), leaf(ROOT)
    told = trust(ROOT, revoked=(ROOT, revocation_list(ROOT, lost, days_to=1)))
    later = now() + timedelta(days=3)
    assert reason(told, lost, later) is UnauthenticatedReason.REVOKED_CERTIFICATE
    assert reason(told, good, later) is None


def partial(**only: object) -> list[tuple[x509.ExtensionType, bool]]:
    wanted: dict[str, object] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
        **only,
    }
    return [(x509.IssuingDistributionPoint(**wanted), True)]  # type: ignore[arg-type]


def der_as_text() -> str:
    return x509.load_pem_x509_crl(revocation_list(ROOT).encode()).public_bytes(Encoding.DER).hex()


def altered() -> str:
    found = x509.load_pem_x509_crl(revocation_list(ROOT, leaf(ROOT)).encode())
    der = bytearray(found.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_crl(bytes(der)).public_bytes(Encoding.PEM).decode()


def garbled() -> str:
    lines = revocation_list(ROOT, leaf(ROOT)).splitlines()
    return "\n".join([lines[0], *reversed(lines[1:-1]), lines[-1]])


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "nothing": (lambda: "", "is not one PEM text"),
    "der": (der_as_text, "is not one PEM text"),
    "a certificate": (lambda: ROOT.pem, "is not one PEM text"),
    "two lists": (lambda: revocation_list(ROOT) + revocation_list(OTHER), "is not one PEM text"),
    "a certificate beside it": (lambda: revocation_list(ROOT) + ROOT.pem, "is not one PEM text"),
    "half of it": (lambda: revocation_list(ROOT)[:-30], "is not one PEM text"),
    "letters of no alphabet": (
        lambda: revocation_list(ROOT).replace("A", "\ud800"),
        "is not one PEM text",
    ),
    "garbled": (garbled, "cannot be read"),
    "of a stranger": (lambda: revocation_list(authority("Eve")), "is of no CA of this namespace"),
    "of the hostile twin": (lambda: revocation_list(twin(ROOT)), "which did not sign it"),
    "altered": (altered, "which did not sign it"),
    "signed with sha-224": (
        lambda: revocation_list(RSA_ROOT, hash=hashes.SHA224()),
        "is not signed with SHA-256",
    ),
    "of one that may not sign": (lambda: revocation_list(MUTE), "(key usage)"),
    "out of date": (lambda: revocation_list(ROOT, days_to=-0.5), "was due to be replaced on"),
    "of the future": (lambda: revocation_list(ROOT, days_from=1), "is issued in the future"),
    "what changed": (
        lambda: revocation_list(ROOT, extensions=[(x509.DeltaCRLIndicator(1), True)]),
        "only tells what changed",
    ),
    "of users": (
        lambda: revocation_list(ROOT, extensions=partial(only_contains_user_certs=True)),
        "tells of some certificates only",
    ),
    "of cas": (
        lambda: revocation_list(ROOT, extensions=partial(only_contains_ca_certs=True)),
        "tells of some certificates only",
    ),
    "for some reasons": (
        lambda: revocation_list(
            ROOT, extensions=partial(only_some_reasons=frozenset([x509.ReasonFlags.superseded]))
        ),
        "tells of some certificates only",
    ),
    "for others": (
        lambda: revocation_list(ROOT, extensions=partial(indirect_crl=True)),
        "tells of some certificates only",
    ),
    "with what nobody knows": (
        lambda: revocation_list(ROOT, extensions=[(UNKNOWN, True)]),
        "critical extension that is not known here (1.2.3.4)",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_list_that_is_not_good_is_refused(kind: str) -> None:
    make, says = REFUSED[kind]
    with pytest.raises(InvalidField) as refusal:
        read_list(make(), AUTHORITIES, now())
    assert refusal.value.field == "revocation_list"
    assert says in str(refusal.value)


@pytest.mark.parametrize("issuer", [ROOT, RSA_ROOT])
def test_a_good_list_is_read(issuer: Identity) -> None:
    lost = [leaf(issuer), leaf(issuer)]
    number = [(x509.CRLNumber(7), False), *partial(full_name=[x509.DNSName("crl.example")])]
    text = revocation_list(issuer, *lost, extensions=number)
    read = read_list(f"Certificate Revocation List: Bäcker\n{text}\n", AUTHORITIES, now())
    assert read.serials == {each.certificate.serial_number for each in lost}
    assert read.authority == authority_id(issuer.certificate)
    assert read.next_at is not None
    assert read.next_at - read.issued_at == timedelta(days=8)


def test_a_list_has_so_many_characters_and_no_more() -> None:
    text = revocation_list(ROOT)
    read_list(text.ljust(LIST_CHARACTERS_MAX), AUTHORITIES, now())
    with pytest.raises(InvalidField, match="has more than 49152 characters"):
        read_list(text.ljust(LIST_CHARACTERS_MAX + 1), AUTHORITIES, now())


def test_the_clock_of_a_ca_may_be_ahead_a_little() -> None:
    text = revocation_list(ROOT, days_from=0)
    issued_at = read_list(text, AUTHORITIES, now()).issued_at
    ahead = timedelta(seconds=AHEAD_SECONDS_MAX)
    read_list(text, AUTHORITIES, issued_at - ahead)
    with pytest.raises(InvalidField, match="in the future"):
        read_list(text, AUTHORITIES, issued_at - ahead - timedelta(seconds=1))
