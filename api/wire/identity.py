"""Who is who between machines: certificates that follow from the installation's secrets.

Every process issues its own, under an authority whose key all of them can derive. So there are no
files to hand out, and whoever has the secrets of the installation, and nobody else, is let in.
"""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tenancy.randomness import derived_key

CERTIFICATE_DAYS = 3_650
"""A process that runs for so long must be started again, which issues it a new one."""

BACKDATED_HOURS = 1
"""For processes whose clock is behind."""

DOMAIN = "perdure.internal"
AUTHORITY_NAME = "Perdure installation"
CURVE = ec.SECP256R1()
_PEM = serialization.Encoding.PEM


def host_of(name: str) -> str:
    """What a process with that name is called in its certificate."""
    return f"{name}.{DOMAIN}"


class WireIdentity:
    """The process `name`, as others of its installation know it; `folder` is private to it."""

    def __init__(self, name: str, *, pepper: bytes, folder: Path) -> None:
        self._folder = folder
        self._authority_key = _derived(pepper)
        self._authority = _authority(self._authority_key)
        self._key = ec.generate_private_key(CURVE)
        self._certificate = self._issued(name)

    def listening(self) -> ssl.SSLContext:
        """Lets in who shows a certificate of the same installation."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def connecting(self) -> ssl.SSLContext:
        """Speaks to who shows one for the name that is asked for."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT)

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cadata=self._authority.public_bytes(_PEM).decode())
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".pem") as file:
            # OpenSSL reads keys from files alone; this one is ours to read, and gone at once.
            form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            file.write(self._key.private_bytes(_PEM, *form))
            file.write(self._certificate.public_bytes(_PEM))
            file.flush()
            context.load_cert_chain(file.name)
        return context

    def _issued(self, name: str) -> x509.Certificate:
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        hosts = [x509.DNSName(host_of(name))]
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            self._authority_key.public_key()
        )
        return (
            _draft(name)
            .public_key(self._key.public_key())
            .add_extension(x509.BasicConstraints(False, None), critical=True)
            .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._authority_key, hashes.SHA256())
        )


def _derived(pepper: bytes) -> ec.EllipticCurvePrivateKey:
    secret = int.from_bytes(derived_key(pepper, "wire authority"), "big")
    return ec.derive_private_key(secret % (CURVE.group_order - 1) + 1, CURVE)


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Each process makes its own copy; they are equal in what is verified, name and key."""
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        _draft(AUTHORITY_NAME)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .add_extension(subject_key, critical=False)
        .sign(key, hashes.SHA256())
    )


def _draft(name: str) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(AUTHORITY_NAME))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=BACKDATED_HOURS))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
