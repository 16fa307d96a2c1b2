"""A bundle that is not good is refused with what is wrong and what to do."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from tenancy import CertificateFilter, CertificateTrust, InvalidField
from tenancy.certificate_upload import (
    BUNDLE_BYTES_MAX,
    BUNDLE_CERTIFICATES_MAX,
    FILTERS_MAX,
    PATTERN_CHARACTERS_MAX,
    checked,
    pem_of,
)
from tenancy.certificates import RSA_BITS_MIN
from tests.tls.pki import Identity, authority, ec_key, leaf, rsa_key, signed_with_sha1
from tests.tls.site import TlsSite

ROOT = authority("Root")
RSA_ROOT = authority("RSA root", key=rsa_key())
ISSUER = authority("Issuer", ROOT)


def public_authority() -> str:
    """One that browsers trust, and that issues to anybody."""
    blocks = (
        Path(certifi.where()).read_text(encoding="ascii").partition("-----END CERTIFICATE-----")
    )
    return blocks[0][blocks[0].index("-----BEGIN") :] + blocks[1]


def shared_name() -> str:
    """An intermediate that calls itself as its root does."""
    inner = authority(issuer=ROOT, subject=ROOT.certificate.subject)
    return ROOT.pem + inner.pem


def garbled() -> str:
    lines = ROOT.pem.splitlines()
    return "\n".join([lines[0], *reversed(lines[1:-1]), lines[-1]])


def many(count: int) -> str:
    key = ec_key()
    return "".join(authority(f"Root {number}", key=key).pem for number in range(count))


def padded(size_bytes: int) -> str:
    return ROOT.pem.ljust(size_bytes, "#")


def sha1_root() -> Identity:
    root = authority("SHA-1 root", key=rsa_key())
    return signed_with_sha1(root, root)


BAD: dict[str, tuple[Callable[[], str], str]] = {
    "text": (lambda: "hello", "is no PEM"),
    "cut off": (lambda: ROOT.pem[:200], "is no PEM"),
    "garbled": (garbled, "certificate 1 cannot be read"),
    "a private key": (lambda: ROOT.pem + ROOT.key_pem().decode(), "holds a private key"),
    "a request": (
        lambda: "-----BEGIN CERTIFICATE REQUEST-----\nMA==\n-----END CERTIFICATE REQUEST-----",
        "holds a CERTIFICATE REQUEST",
    ),
    "a leaf": (lambda: leaf(ROOT).pem, "certificate 1 (worker) is not a CA"),
    "no constraints": (lambda: authority("X", is_authority=None).pem, "is not a CA"),
    "may not sign": (lambda: authority("X", may_sign=False).pem, "may not sign certificates"),
    "sha-1": (lambda: sha1_root().pem, "(SHA-1 root) is signed with SHA1"),
    "small rsa": (lambda: authority("X", key=rsa_key(1024)).pem, f"RSA of {RSA_BITS_MIN}"),
    "another curve": (lambda: authority("X", key=ec_key(ec.SECP256K1())).pem, "ECDSA on P-256"),
    "ed25519": (
        lambda: authority("X", key=ed25519.Ed25519PrivateKey.generate()).pem,
        "use RSA or ECDSA with SHA-256",
    ),
    "expired": (
        lambda: ROOT.pem + authority("Old", days_from=-9, days_to=-1).pem,
        "certificate 2 (Old) expired on",
    ),
    "without its root": (lambda: ISSUER.pem, "(Issuer) is neither a root nor issued by one"),
    "another root": (lambda: ISSUER.pem + RSA_ROOT.pem, "(Issuer) is neither a root"),
    "twice": (lambda: ROOT.pem + ROOT.pem, "certificate 2 (Root) is there twice"),
    "shared name": (shared_name, "has the name of one that it leads to"),
    "too many": (lambda: many(BUNDLE_CERTIFICATES_MAX + 1), "at most 16 certificates"),
    "too large": (lambda: padded(BUNDLE_BYTES_MAX + 1), "larger than 32768 bytes"),
    "public": (public_authority, "is a public CA"),
    "none": (lambda: "", "is empty"),
}
GOOD: dict[str, Callable[[], str]] = {
    "a root": lambda: ROOT.pem,
    "rsa": lambda: RSA_ROOT.pem,
    "two roots": lambda: ROOT.pem + RSA_ROOT.pem,
    "a chain in any order": lambda: ISSUER.pem + ROOT.pem,
    "words between": lambda: f"our root:\r\n{ROOT.pem}\r\n# the other\r\n{RSA_ROOT.pem}",
    "not valid yet": lambda: ROOT.pem + authority("Next", days_from=5).pem,
    "successor of the same name": lambda: ROOT.pem + authority("Root").pem,
    "as large as may be": lambda: padded(BUNDLE_BYTES_MAX),
    "as many as may be": lambda: many(BUNDLE_CERTIFICATES_MAX),
}


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_bundle_is_refused_with_what_is_wrong(kind: str) -> None:
    make, says = BAD[kind]
    with pytest.raises(InvalidField) as refusal:
        checked(CertificateTrust(True, make()), now())
    assert says in str(refusal.value)
    assert refusal.value.field == "spec.mtls_auth.accepted_client_ca"
    assert refusal.value.remedy


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_bundle_is_kept_as_its_certificates_alone(kind: str) -> None:
    pem = GOOD[kind]()
    kept = checked(CertificateTrust(True, pem), now()).authorities
    given = [
        each.public_bytes(Encoding.PEM) for each in x509.load_pem_x509_certificates(pem.encode())
    ]
    assert kept.encode() == b"".join(given)
    assert checked(CertificateTrust(True, kept), now()).authorities == kept


def test_a_bundle_in_der_is_told_how_to_become_pem() -> None:
    with pytest.raises(InvalidField, match="is DER, not PEM; convert it by"):
        pem_of(ROOT.presented[0])
    with pytest.raises(InvalidField, match="is no text"):
        pem_of(b"\xff")


def test_a_ca_is_good_until_the_moment_it_expires() -> None:
    trust, end = CertificateTrust(True, ROOT.pem), ROOT.certificate.not_valid_after_utc
    checked(trust, end - timedelta(seconds=1))
    with pytest.raises(InvalidField, match="expired on"):
        checked(trust, end)


def test_a_public_ca_is_taken_where_filters_say_whom_it_issued_to() -> None:
    checked(CertificateTrust(True, public_authority(), (CertificateFilter("acme*"),)), now())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (CertificateFilter(), "[0]: is empty"),
        (CertificateFilter("*"), "[0].common_name: matches everything"),
        (CertificateFilter("a*b"), "[0].common_name: may have one *"),
        (CertificateFilter("*a*"), "[0].common_name: may have one *"),
        (CertificateFilter("a\0"), "control character"),
        (CertificateFilter("", "", "", "x" * (PATTERN_CHARACTERS_MAX + 1)), "at most 256"),
    ],
)
def test_a_bad_filter_is_refused(given: CertificateFilter, says: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        checked(CertificateTrust(True, ROOT.pem, (given,)), now())
    assert says in str(refusal.value)


def test_filters_are_counted() -> None:
    allowed = tuple(CertificateFilter(f"cn-{number}") for number in range(FILTERS_MAX))
    longest = (*allowed[:-1], CertificateFilter("x" * PATTERN_CHARACTERS_MAX))
    checked(CertificateTrust(True, ROOT.pem, longest), now())
    with pytest.raises(InvalidField, match="at most 25 filters"):
        checked(CertificateTrust(True, ROOT.pem, (*allowed, CertificateFilter("one"))), now())


async def test_what_was_uploaded_is_told_again(site: TlsSite) -> None:
    tenant = await site.tenant()
    filters = [{"commonName": "worker-*", "subjectAlternativeName": "spiffe://acme/*"}]
    assert (await tenant.trust(ISSUER, ROOT, certificateFilters=filters)).is_success
    found = (await tenant.visitor.get(f"/cloud/namespaces/{tenant.namespace}"))["namespace"]
    told = found["spec"]["mtlsAuth"]
    assert base64.b64decode(told["acceptedClientCa"]).decode() == ISSUER.pem + ROOT.pem
    assert (told["certificateFilters"], told["enabled"]) == (filters, True)
    shown = await tenant.visitor.get("/api/v1/client-certificates", namespace=tenant.namespace)
    assert shown["host"] == site.host(tenant.namespace)
    assert [each["subject"] for each in shown["authorities"]] == ["CN=Issuer", "CN=Root"]


async def test_a_refused_bundle_changes_nothing(site: TlsSite) -> None:
    tenant = await site.tenant()
    await tenant.trust(ROOT)
    answer = await tenant.trust(leaf(ROOT))
    assert answer.status_code == 400
    (violation,) = answer.json()["details"][0]["fieldViolations"]
    assert violation["field"] == "spec.mtls_auth.accepted_client_ca"
    deprecated = await tenant.trust(ROOT, acceptedClientCaDeprecated="x")
    assert "use spec.mtls_auth.accepted_client_ca" in deprecated.json()["message"]
    host = site.host(tenant.namespace)
    assert await site.outcome(host, tenant.namespace, leaf(ROOT)) == 200


async def test_who_may_not_administer_a_namespace_changes_no_trust(site: TlsSite) -> None:
    tenant, rival = await site.tenant(), await site.tenant()
    body = {"namespace": tenant.namespace, "fingerprint": "00" * 32}
    foreign = await rival.visitor.call("POST", "/api/v1/denied-certificates", body)
    assert foreign.status_code == 404
    query = {"namespace": tenant.namespace}
    foreign = await rival.visitor.call("GET", "/api/v1/client-certificates", **query)
    assert foreign.status_code == 404
    key = await tenant.visitor.key(namespaces={tenant.namespace: "write"})
    writer = site.plain.program(key)
    assert (await writer.call("POST", "/api/v1/denied-certificates", body)).status_code == 403
    bad = {**body, "fingerprint": "12"}
    answer = await tenant.visitor.call("POST", "/api/v1/denied-certificates", bad)
    assert (answer.status_code, "64 hexadecimal" in answer.text) == (400, True)
