"""Certificates for tests, good ones and such as nobody should accept."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER


@dataclass(frozen=True)
class Identity:
    """A certificate with its key; `chain` are those sent along after it."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(PEM).decode()

    @property
    def presented(self) -> list[bytes]:
        return [each.public_bytes(DER) for each in (self.certificate, *self.chain)]

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def with_chain(self, *issuers: Identity) -> Identity:
        return Identity(self.certificate, self.key, tuple(each.certificate for each in issuers))

    def chain_pem(self) -> bytes:
        return b"".join(each.public_bytes(PEM) for each in (self.certificate, *self.chain))

    def key_pem(self) -> bytes:
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(PEM, form, serialization.NoEncryption())

    def written(self, folder: Path) -> tuple[Path, Path]:
        """The paths of its chain and its key."""
        certificate, key = folder / f"{self.fingerprint}.pem", folder / f"{self.fingerprint}.key"
        certificate.write_bytes(self.chain_pem())
        key.write_bytes(self.key_pem())
        return certificate, key


@dataclass(frozen=True)
class Wanted:
    """What a certificate shall be; `issue` makes it."""

    common_name: str | None = "worker"
    organization: str | None = None
    unit: str | None = None
    names: Sequence[x509.GeneralName] = ()
    is_authority: bool | None = False
    path_length: int | None = None
    usages: Sequence[ObjectIdentifier] | None = (CLIENT,)
    may_sign: bool | None = None
    key: PrivateKey | None = None
    hash: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    days_from: float = -1
    days_to: float = 30
    subject: x509.Name | None = None
    key_id: x509.SubjectKeyIdentifier | None = None
    constraints: x509.NameConstraints | None = None
    version_1: bool = False


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def issue(issuer: Identity | None, it: Wanted) -> Identity:
    """Signed by the issuer, or by itself."""
    key = it.key or ec_key()
    subject = it.subject or _name(it)
    signing = key if issuer is None else issuer.key
    now = datetime.now(UTC)
    draft = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=it.days_from))
        .not_valid_after(now + timedelta(days=it.days_to))
    )
    for extension, is_critical in _extensions(it, key, issuer):
        draft = draft.add_extension(extension, critical=is_critical)
    hash = None if isinstance(signing, ed25519.Ed25519PrivateKey) else it.hash
    return Identity(draft.sign(signing, hash), key)  # type: ignore[arg-type]


def authority(name: str = "Acme root", issuer: Identity | None = None, **more: object) -> Identity:
    wanted: dict[str, object] = {
        "common_name": name,
        "is_authority": True,
        "usages": None,
        "days_to": 400,
        **more,
    }
    return issue(issuer, Wanted(**wanted))  # type: ignore[arg-type]


def leaf(issuer: Identity, **more: object) -> Identity:
    return issue(issuer, Wanted(**more))  # type: ignore[arg-type]


def revocation_list(
    issuer: Identity,
    *revoked: Identity,
    days_from: float = -1,
    days_to: float = 7,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    hash: hashes.HashAlgorithm | None = None,
) -> str:
    """What the issuer says that it has revoked, in PEM."""
    now = datetime.now(UTC)
    draft = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now + timedelta(days=days_from))
        .next_update(now + timedelta(days=days_to))
    )
    for each in revoked:
        entry = x509.RevokedCertificateBuilder(each.certificate.serial_number, now)
        draft = draft.add_revoked_certificate(entry.build())
    for extension, is_critical in extensions:
        draft = draft.add_extension(extension, critical=is_critical)
    signed = draft.sign(issuer.key, hash or hashes.SHA256())  # type: ignore[arg-type]
    return signed.public_bytes(PEM).decode()


def signed_with_sha1(it: Identity, issuer: Identity) -> Identity:
    """The same, signed by an RSA issuer as nobody should any more; libraries refuse to."""
    assert isinstance(issuer.key, rsa.RSAPrivateKey)
    oids = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    body = it.certificate.tbs_certificate_bytes.replace(*oids)
    digest = hashlib.sha1(body).digest()
    told = bytes.fromhex("3021300906052b0e03021a05000414") + digest
    size_bytes = issuer.key.key_size // 8
    padded = b"\x00\x01" + b"\xff" * (size_bytes - len(told) - 3) + b"\x00" + told
    numbers = issuer.key.private_numbers()
    power = pow(int.from_bytes(padded), numbers.d, numbers.public_numbers.n)
    whole = it.certificate.public_bytes(DER).replace(*oids)
    content = whole[:-size_bytes] + power.to_bytes(size_bytes)
    return Identity(x509.load_der_x509_certificate(content), it.key)


def twin(victim: Identity) -> Identity:
    """Another's CA with the name and the key id of this one."""
    return authority(subject=victim.certificate.subject, key_id=key_id_of(victim))


def twin_in(form: _ASN1Type, victim: Identity) -> Identity:
    """One whose name has the same letters in another form of string."""
    written = [
        x509.NameAttribute(each.oid, each.value, form) for each in victim.certificate.subject
    ]
    return authority(subject=x509.Name(written), key_id=key_id_of(victim))


def cross_signed(it: Identity, issuer: Identity) -> Identity:
    """The same CA, signed by another one too."""
    subject = it.certificate.subject
    return authority(issuer=issuer, subject=subject, key=it.key, key_id=key_id_of(it))


def key_id_of(it: Identity) -> x509.SubjectKeyIdentifier:
    """As it says itself; made of its key where it says nothing."""
    try:
        found = it.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.SubjectKeyIdentifier.from_public_key(it.key.public_key())
    return found.value


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def dns(text: str) -> x509.GeneralName:
    return x509.DNSName(text)


def address(text: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(text))


def _name(it: Wanted) -> x509.Name:
    parts = (
        (NameOID.COMMON_NAME, it.common_name),
        (NameOID.ORGANIZATION_NAME, it.organization),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, it.unit),
    )
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts if text is not None])


def _extensions(
    it: Wanted, key: PrivateKey, issuer: Identity | None
) -> list[tuple[x509.ExtensionType, bool]]:
    if it.version_1:
        return []
    key_id = it.key_id or x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # What an issuer calls its key is what its certificates call it, be it true or not.
    signing_id = key_id if issuer is None else key_id_of(issuer)
    made_of = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier
    found: list[tuple[x509.ExtensionType, bool]] = [(key_id, False), (made_of(signing_id), False)]
    if it.constraints is not None:
        found.append((it.constraints, True))
    if it.is_authority is not None:
        found.append((x509.BasicConstraints(it.is_authority, it.path_length), True))
    may_sign = it.is_authority if it.may_sign is None else it.may_sign
    found.append((_usage(bool(may_sign)), True))
    if it.usages is not None:
        found.append((x509.ExtendedKeyUsage(list(it.usages)), False))
    if it.names:
        found.append((x509.SubjectAlternativeName(list(it.names)), False))
    return found


def _usage(may_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not may_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=may_sign,
        crl_sign=may_sign,
        encipher_only=False,
        decipher_only=False,
    )
