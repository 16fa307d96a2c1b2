"""What a namespace trusts of client certificates: its CAs, and filters for whom they issued to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tenancy.roles import NamespaceRef

RSA_BITS_MIN = 2_048
RSA_BITS_MAX = 8_192
"""Larger ones would only cost time at each handshake."""

CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

SUBJECT_CHARACTERS_MAX = 200

UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What reading a certificate raises where it is not as the standard wants it."""


@dataclass(frozen=True, slots=True)
class CertificateFilter:
    """All fields that are given must match; each may begin or end with one `*`."""

    common_name: str = ""
    organization: str = ""
    organizational_unit: str = ""
    subject_alternative_name: str = ""

    def matches(self, leaf: x509.Certificate) -> bool:
        subject = leaf.subject
        return (
            _any_fits(self.common_name, _texts(subject, NameOID.COMMON_NAME))
            and _any_fits(self.organization, _texts(subject, NameOID.ORGANIZATION_NAME))
            and _any_fits(
                self.organizational_unit, _texts(subject, NameOID.ORGANIZATIONAL_UNIT_NAME)
            )
            and _any_fits(self.subject_alternative_name, alternative_names(leaf))
        )


@dataclass(frozen=True, slots=True)
class CertificateTrust:
    """`authorities` are the CAs in PEM. Without filters, whatever they issued is accepted."""

    is_enabled: bool = False
    authorities: str = ""
    filters: tuple[CertificateFilter, ...] = ()

    @property
    def certificates(self) -> list[x509.Certificate]:
        """The CAs."""
        pem = self.authorities.encode()
        return x509.load_pem_x509_certificates(pem) if pem else []

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def heard(cls, told: Mapping[str, Any] | None) -> CertificateTrust:
        """From what `told` gave; nothing is no trust."""
        if told is None:
            return NO_TRUST
        filters = tuple(CertificateFilter(**each) for each in told["filters"])
        return cls(told["is_enabled"], told["authorities"], filters)


NO_TRUST = CertificateTrust()


@dataclass(frozen=True, slots=True)
class NamespaceTrust:
    """All that is needed to judge a certificate in one namespace, without a database.

    `denied` are fingerprints, `revoked` serial numbers by the `authority_id` of who issued them.
    """

    namespace: NamespaceRef
    trust: CertificateTrust
    denied: frozenset[str]
    revoked: Mapping[str, frozenset[int]] = field(default_factory=dict)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, in hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def authority_id(certificate: x509.Certificate) -> str:
    """SHA-256 of a CA's name and key, in hex: the same after a renewal."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    key = certificate.public_key().public_bytes(serialization.Encoding.DER, form)
    return hashlib.sha256(certificate.subject.public_bytes() + key).hexdigest()


def shown_subject(certificate: x509.Certificate) -> str:
    """In one line: its owner chose it, and it must not pass for more of a text."""
    text = certificate.subject.rfc4514_string()[:SUBJECT_CHARACTERS_MAX]
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def is_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether this one signed it, by name and by key."""
    if certificate.issuer != issuer.subject:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError, *UNREADABLE):
        return False
    return True


def has_good_key(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES)


def alternative_names(leaf: x509.Certificate) -> list[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    kinds = (x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name, x509.IPAddress)
    return [str(name.value) for name in names if isinstance(name, kinds)]


def _texts(subject: x509.Name, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in subject.get_attributes_for_oid(oid)]


def _any_fits(pattern: str, texts: list[str]) -> bool:
    return not pattern or any(_fits(pattern.casefold(), text.casefold()) for text in texts)


def _fits(pattern: str, text: str) -> bool:
    if pattern.startswith("*"):
        return text.endswith(pattern[1:])
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    return text == pattern
