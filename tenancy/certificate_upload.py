"""What a bundle of CAs and its filters must be before a namespace trusts them."""

from __future__ import annotations

import re
import ssl
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TypeVar

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from tenancy.certificates import (
    RSA_BITS_MAX,
    RSA_BITS_MIN,
    UNREADABLE,
    CertificateFilter,
    CertificateTrust,
    authority_id,
    fingerprint,
    has_good_key,
    is_issued,
)
from tenancy.errors import InvalidField

BUNDLE_FIELD = "spec.mtls_auth.accepted_client_ca"
FILTERS_FIELD = "spec.mtls_auth.certificate_filters"
BUNDLE_BYTES_MAX = 32 * 1024
BUNDLE_CERTIFICATES_MAX = 16
FILTERS_MAX = 25
PATTERN_CHARACTERS_MAX = 256
HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)

NAME_CHARACTERS_SHOWN = 64

Extension = TypeVar("Extension", bound=x509.ExtensionType)

_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_DER_SEQUENCE = b"\x30"


def checked(trust: CertificateTrust, at: datetime) -> CertificateTrust:
    """The same with the certificates alone as PEM; raises InvalidField."""
    for index, pattern in enumerate(trust.filters):
        _check_filter(f"{FILTERS_FIELD}[{index}]", pattern)
    if len(trust.filters) > FILTERS_MAX:
        raise InvalidField(FILTERS_FIELD, f"at most {FILTERS_MAX} filters", "join some with a *")
    if not trust.authorities:
        if trust.is_enabled:
            raise InvalidField(
                BUNDLE_FIELD, "is empty, so no certificate would be accepted", "upload a CA"
            )
        return trust
    certificates = read_bundle(trust.authorities)
    for number, each in enumerate(certificates, 1):
        _check_authority(_named(number, each), each, at)
    _check_chains(certificates)
    if not trust.filters:
        _check_private(certificates)
    pem = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates).decode()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=pem)
    except ssl.SSLError:
        # Listeners must be able to load what was accepted.
        raise _refused("cannot be loaded by OpenSSL", "issue the CAs anew") from None
    return CertificateTrust(trust.is_enabled, pem, trust.filters)


def read_bundle(text: str) -> list[x509.Certificate]:
    """The certificates of a PEM text; raises InvalidField."""
    if len(text.encode()) > BUNDLE_BYTES_MAX:
        raise _refused(f"is larger than {BUNDLE_BYTES_MAX} bytes", "upload fewer certificates")
    kinds = _BEGIN.findall(text)
    if any("PRIVATE KEY" in kind for kind in kinds):
        raise _refused(
            "holds a private key, which was not kept",
            "upload certificates alone, and replace the key if it left its place",
        )
    if strange := [kind for kind in kinds if kind != "CERTIFICATE"]:
        raise _refused(f"holds a {strange[0]}", "upload the CA's CERTIFICATE in PEM")
    blocks = _BLOCK.findall(text)
    if not blocks or len(blocks) != len(kinds):
        raise _refused(
            "is no PEM: each certificate is between -----BEGIN CERTIFICATE----- and -----END"
            " CERTIFICATE-----",
            "convert DER by `openssl x509 -inform der`",
        )
    if len(blocks) > BUNDLE_CERTIFICATES_MAX:
        raise _refused(f"at most {BUNDLE_CERTIFICATES_MAX} certificates", "remove those not needed")
    return [_read(number, block) for number, block in enumerate(blocks, 1)]


def pem_of(bundle: bytes) -> str:
    """The text of an uploaded bundle; raises InvalidField where it is none."""
    try:
        return bundle.decode("ascii")
    except UnicodeDecodeError:
        what = "is DER, not PEM" if bundle.startswith(_DER_SEQUENCE) else "is no text"
        raise _refused(what, "convert it by `openssl x509 -inform der`") from None


def _read(number: int, block: str) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(block.encode())
        # These are read only when asked for.
        _ = certificate.extensions, certificate.public_key(), certificate.signature_hash_algorithm
        _ = certificate.subject, certificate.issuer
    except UNREADABLE:
        raise _refused(f"certificate {number} cannot be read", "copy it again, whole") from None
    return certificate


def _check_authority(name: str, it: x509.Certificate, at: datetime) -> None:
    if it.version is not x509.Version.v3:
        raise _refused(f"{name} is not of X.509 version 3", "issue it anew with extensions")
    constraints = _extension(it, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise _refused(
            f"{name} is not a CA (basic constraints CA:TRUE)",
            "upload the CA that issues your clients' certificates, not one of those",
        )
    usage = _extension(it, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise _refused(f"{name} may not sign certificates (key usage)", "upload one that may")
    if not isinstance(it.signature_hash_algorithm, HASHES):
        used = it.signature_hash_algorithm
        what = "no hash of its own" if used is None else used.name.upper()
        raise _refused(f"{name} is signed with {what}", "use RSA or ECDSA with SHA-256 or better")
    _check_key(name, it)
    if it.not_valid_after_utc <= at:
        raise _refused(
            f"{name} expired on {it.not_valid_after_utc:%Y-%m-%d}", "upload its successor"
        )


def _check_key(name: str, it: x509.Certificate) -> None:
    if not has_good_key(it):
        raise _refused(
            f"{name} has another key than RSA of {RSA_BITS_MIN} to {RSA_BITS_MAX} bits or ECDSA on"
            " P-256, P-384 or P-521",
            "issue it anew",
        )


def _check_chains(certificates: Sequence[x509.Certificate]) -> None:
    """Each is a root, or leads to one by certificates of the bundle with names of their own."""
    seen: set[str] = set()
    for number, it in enumerate(certificates, 1):
        if fingerprint(it) in seen:
            raise _refused(f"{_named(number, it)} is there twice", "remove one of the two")
        seen.add(fingerprint(it))
    for number, it in enumerate(certificates, 1):
        subjects, current = [it.subject], it
        while not is_issued(current, current):
            issuer = next((each for each in certificates if is_issued(current, each)), None)
            if issuer is None:
                raise _refused(
                    f"{_named(number, it)} is neither a root nor issued by one in the bundle",
                    "add the certificates that lead to its root",
                )
            if issuer.subject in subjects:
                raise _refused(
                    f"{_named(number, it)} has the name of one that it leads to",
                    "give each certificate of a chain a name of its own",
                )
            subjects.append(issuer.subject)
            current = issuer


def _check_private(certificates: Sequence[x509.Certificate]) -> None:
    for number, it in enumerate(certificates, 1):
        if authority_id(it) in _public_authorities():
            raise _refused(
                f"{_named(number, it)} is a public CA, which issues to anybody",
                "add certificate filters, or use a CA of your own",
            )


@cache
def _public_authorities() -> frozenset[str]:
    with warnings.catch_warnings():
        # One of them has serial number 0, which is for its issuer to mend.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        found = x509.load_pem_x509_certificates(Path(certifi.where()).read_bytes())
    return frozenset(map(authority_id, found))


def _check_filter(field: str, it: CertificateFilter) -> None:
    patterns = {name: pattern for name, pattern in asdict(it).items() if pattern}
    if not patterns:
        raise InvalidField(
            field, "is empty and would match everything", "fill in one of its fields"
        )
    for name, pattern in patterns.items():
        if len(pattern) > PATTERN_CHARACTERS_MAX:
            raise InvalidField(
                f"{field}.{name}", f"at most {PATTERN_CHARACTERS_MAX} characters", "shorten it"
            )
        if not pattern.isprintable():
            raise InvalidField(f"{field}.{name}", "holds a control character", "remove it")
        if pattern == "*":
            raise InvalidField(f"{field}.{name}", "matches everything", "leave it out")
        if "*" in pattern[1:-1] or pattern.count("*") > 1:
            raise InvalidField(
                f"{field}.{name}", "may have one *, at its beginning or its end", "use more filters"
            )


def _extension(it: x509.Certificate, kind: type[Extension]) -> Extension | None:
    try:
        return it.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _refused(limit: str, remedy: str) -> InvalidField:
    return InvalidField(BUNDLE_FIELD, limit, remedy)


def _named(number: int, it: x509.Certificate) -> str:
    found = it.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(found[0].value)[:NAME_CHARACTERS_SHOWN] if found else "without common name"
    return f"certificate {number} ({name})"
