"""Certificates of the server itself: from files, or issued here for one machine."""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from api.installation import InstallationError, write_whole

AUTHORITY_DAYS = 3_650
SERVER_DAYS = 397
BACKDATED_HOURS = 1
"""For clients whose clock is behind."""

AUTHORITY_NAME = "Perdure on this machine"
_PEM = serialization.Encoding.PEM
_KEY_FORM = (_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class CertificateUnusable(InstallationError):
    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}; give a certificate and its key in PEM")
        self.path = path


class CertificateFiles:
    """One certificate, with its chain and key, for all hosts; it must have the names of all."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        try:
            self.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), None)
        except (OSError, ssl.SSLError) as error:
            raise CertificateUnusable(certificate, str(error)) from error

    def load_into(self, context: ssl.SSLContext, host: str | None) -> None:
        context.load_cert_chain(self._certificate, self._key)


class LocalIssuer:
    """A CA made at first start, which issues a certificate to each host when it is asked for.

    Clients on this machine trust `authority_path`; nobody else has a reason to.
    """

    def __init__(self, folder: Path, base_domain: str) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.authority_path = folder / "ca.pem"
        self._folder = folder
        self._base_domain = base_domain
        key_path = folder / "ca.key"
        if not (self.authority_path.exists() and key_path.exists()):
            _make_authority(self.authority_path, key_path)
        try:
            self._authority = x509.load_pem_x509_certificate(self.authority_path.read_bytes())
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        except ValueError as error:
            raise CertificateUnusable(self.authority_path, "is damaged") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CertificateUnusable(key_path, "was not made here")
        self._authority_key = key
        self._server_key = ec.generate_private_key(ec.SECP256R1())

    def load_into(self, context: ssl.SSLContext, host: str | None) -> None:
        names = ["localhost", "127.0.0.1", "::1", self._base_domain] if host is None else [host]
        certificate = self._issue(names)
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".pem") as file:
            # OpenSSL reads keys from files alone; this one is ours to read, and gone at once.
            file.write(self._server_key.private_bytes(*_KEY_FORM))
            file.write(certificate.public_bytes(_PEM))
            file.flush()
            context.load_cert_chain(file.name)

    def _issue(self, names: list[str]) -> x509.Certificate:
        return (
            _draft(names[0], SERVER_DAYS)
            .issuer_name(self._authority.subject)
            .public_key(self._server_key.public_key())
            .add_extension(x509.BasicConstraints(False, None), critical=True)
            .add_extension(x509.SubjectAlternativeName(list(map(_general, names))), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self._authority_key.public_key()
                ),
                critical=False,
            )
            .sign(self._authority_key, hashes.SHA256())
        )


def _make_authority(path: Path, key_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
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
    certificate = (
        _draft(AUTHORITY_NAME, AUTHORITY_DAYS)
        .issuer_name(_name(AUTHORITY_NAME))
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_whole(key_path, key.private_bytes(*_KEY_FORM))
    write_whole(path, certificate.public_bytes(_PEM))


def _draft(name: str, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
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
