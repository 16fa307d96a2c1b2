"""A client certificate and its CA, as a customer would make them, and the TLS that presents it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 1


class ClientCertificate:
    """Issued by a CA of its own, which is forgotten afterwards; `folder` gets the two files."""

    def __init__(self, folder: Path) -> None:
        authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        issuer, worker = _name("Benchmark CA"), _name("worker")
        is_authority = x509.BasicConstraints(ca=True, path_length=0)
        authority = (
            _unsigned(issuer, issuer, authority_key.public_key())
            .add_extension(is_authority, critical=True)
            .sign(authority_key, hashes.SHA256())
        )
        certificate = (
            _unsigned(worker, issuer, key.public_key())
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        self.authority_pem = authority.public_bytes(pem)
        self._certificate_path, self._key_path = folder / "worker.pem", folder / "worker.key"
        self._certificate_path.write_bytes(certificate.public_bytes(pem))
        form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self._key_path.write_bytes(key.private_bytes(pem, form, plain))

    def context(self, server_authority: Path) -> ssl.SSLContext:
        """Presents the certificate and trusts servers of that CA alone."""
        context = ssl.create_default_context(cafile=server_authority)
        context.load_cert_chain(self._certificate_path, self._key_path)
        return context


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    at = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(hours=1))
        .not_valid_after(at + timedelta(days=VALID_DAYS))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
