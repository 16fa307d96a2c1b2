"""Certificates of the server itself that are issued here, for one machine.

They go by the machine's own clock, as those do who verify them.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from api.installation import write_whole
from api.tls.shown import CertificateUnusable, Shown
from tenancy.randomness import Now

AUTHORITY_DAYS = 3_650
AUTHORITY_DAYS_LEFT_MIN = 800
"""Then it is issued anew, with the same key: whoever trusts one of the two trusts what both issued,
and has this long to take up the new one.
"""

SERVER_DAYS = 397
SERVER_DAYS_SHOWN = 180
BACKDATED_HOURS = 1
"""For clients whose clock is behind."""

AUTHORITY_NAME = "Perdure on this machine"
_PEM = serialization.Encoding.PEM
_KEY_FORM = (_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def machine_now() -> datetime:
    return datetime.now(UTC)


class LocalIssuer:
    """A CA made at first start, which issues a certificate to each host when it is asked for.

    Clients on this machine trust `authority_path`; nobody else has a reason to.
    """

    def __init__(self, folder: Path, base_domain: str, *, now: Now = machine_now) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.authority_path = folder / "ca.pem"
        self._base_domain = base_domain
        self._now = now
        key_path = folder / "ca.key"
        if not (self.authority_path.exists() and key_path.exists()):
            new = ec.generate_private_key(ec.SECP256R1())
            write_whole(key_path, new.private_bytes(*_KEY_FORM))
            self._write_authority(new)
        try:
            self._authority = x509.load_pem_x509_certificate(self.authority_path.read_bytes())
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        except ValueError as error:
            raise CertificateUnusable(self.authority_path, "is damaged") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CertificateUnusable(key_path, "was not made here")
        self._authority_key = key
        self._begin()

    def load_into(self, context: ssl.SSLContext, host: str | None) -> None:
        names = ["localhost", "127.0.0.1", "::1", self._base_domain] if host is None else [host]
        key = self._server_key
        certificate = self._issue(names, key.public_key())
        Shown(certificate.public_bytes(_PEM), key.private_bytes(*_KEY_FORM)).load_into(context)

    def is_renewed(self) -> bool:
        """Long before what is shown expires."""
        if self._now() < self._begun_at + timedelta(days=SERVER_DAYS_SHOWN):
            return False
        self._begin()
        return True

    def _begin(self) -> None:
        """All that is issued from now on is of one key and one CA."""
        self._begun_at = self._now()
        left = self._authority.not_valid_after_utc - self._begun_at
        if left < timedelta(days=AUTHORITY_DAYS_LEFT_MIN):
            self._authority = self._write_authority(self._authority_key)
        self._server_key = ec.generate_private_key(ec.SECP256R1())

    def _write_authority(self, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        certificate = _authority(key, self._now())
        write_whole(self.authority_path, certificate.public_bytes(_PEM))
        return certificate

    def _issue(self, names: list[str], key: ec.EllipticCurvePublicKey) -> x509.Certificate:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            self._authority_key.public_key()
        )
        return (
            _draft(names[0], self._now(), SERVER_DAYS)
            .issuer_name(self._authority.subject)
            .public_key(key)
            .add_extension(x509.BasicConstraints(False, None), critical=True)
            .add_extension(x509.SubjectAlternativeName(list(map(_general, names))), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._authority_key, hashes.SHA256())
        )


def _authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return (
        _draft(AUTHORITY_NAME, now, AUTHORITY_DAYS)
        .issuer_name(_name(AUTHORITY_NAME))
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _draft(name: str, now: datetime, days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=BACKDATED_HOURS))
        .not_valid_after(now + timedelta(days=days))
    )


def _name(text: str) -> x509.Name:
    """A common name has at most 64 characters; the alternative name is what counts."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
