"""The server's own certificate is replaced while it serves."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

import api.tls
from api.frontend import open_frontend
from api.installation import Part, installation
from api.tls import TlsSettings
from api.tls.files import CertificateFiles
from api.tls.issuer import AUTHORITY_DAYS_LEFT_MIN, SERVER_DAYS, SERVER_DAYS_SHOWN, LocalIssuer
from api.tls.shown import CertificateUnusable, ServerCertificate
from api.wire.lines import FRONTEND, Lines
from tests.control.parts import LOOK_AGAIN_SECONDS, LOOKS_MAX
from tests.tls.pki import DER, PEM, SERVER, Identity, authority, dns, leaf, rsa_key
from tests.tls.site import serving

EDGE, LATER_EDGE = authority("Edge"), authority("Later edge")
WAIT_SECONDS_MAX = 30.0
REFUSED = "server_certificate_refused"


def server_certificate(issuer: Identity = EDGE, **more: object) -> Identity:
    return leaf(issuer, names=[dns("localhost")], usages=(SERVER,), **more)


@dataclass
class Files:
    """Those that a server was told of."""

    certificate: Path
    key: Path

    def hold(self, it: Identity, key_of: Identity | None = None) -> None:
        self.certificate.write_bytes(it.chain_pem())
        self.key.write_bytes((key_of or it).key_pem())

    @property
    def settings(self) -> TlsSettings:
        return TlsSettings(port=0, certificate=self.certificate, key=self.key)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "server.pem", tmp_path / "server.key")


def asking(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """Of a client that looks at what it is shown and trusts nobody."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return context


def certificate_of(context: ssl.SSLContext) -> x509.Certificate:
    """What a server with this context shows."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = asking().wrap_bio(to_client, to_server)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    shown = client.getpeercert(True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown)


def shown_by(it: ServerCertificate) -> x509.Certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    it.load_into(context, None)
    return certificate_of(context)


async def shown_at(port: int, host: str | None, version: ssl.TLSVersion) -> x509.Certificate:
    """What a client is shown that asks for this host."""

    def ask() -> bytes | None:
        plain = socket.create_connection(("127.0.0.1", port), WAIT_SECONDS_MAX)
        with plain, asking(version).wrap_socket(plain, server_hostname=host) as secured:
            return secured.getpeercert(True)

    shown = await asyncio.to_thread(ask)
    assert shown is not None
    return x509.load_der_x509_certificate(shown)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_renewed_files_are_shown_at_every_host_without_a_restart(
    files: Files, tmp_path: Path, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one kind of key to another, of which a context could hold both."""
    monkeypatch.setattr(api.tls, "RENEW_SECONDS", 0.01)
    old, new = server_certificate(key=rsa_key()), server_certificate(LATER_EDGE)
    files.hold(old)
    async with serving(tmp_path / "data", files.settings) as site:
        tenant = await site.tenant()
        hosts = site.host(tenant.namespace), "unknown.localhost", None

        async def shown() -> list[x509.Certificate]:
            return [await shown_at(site.port, host, version) for host in hosts]

        assert await shown() == [old.certificate] * 3
        headers, named = {"host": "localhost"}, {"sni_hostname": "localhost"}
        client = site.client(context=ssl.create_default_context(cadata=EDGE.pem))
        await client.get("/healthz", headers=headers, extensions=named)
        files.hold(new)
        for _ in range(LOOKS_MAX):
            if await shown_at(site.port, None, version) == new.certificate:
                break
        assert await shown() == [new.certificate] * 3
        # Its connection goes on: with another it would be shown what it does not trust.
        answer = await client.get("/healthz", headers=headers, extensions=named)
        assert answer.status_code == 200


async def test_a_frontend_shows_renewed_files_too(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.tls, "RENEW_SECONDS", 0.01)
    files.hold(server_certificate())
    new = server_certificate()
    with installation(tmp_path / "data", Part.FRONTEND) as held:
        lines = Lines(held, FRONTEND)
        opened = open_frontend(held, lines, control_plane="", tls=files.settings)
        async with opened as frontend:
            assert frontend.tls.trust is not None
            files.hold(new)
            for _ in range(LOOKS_MAX):
                if certificate_of(frontend.tls.trust.base) == new.certificate:
                    break
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
            assert certificate_of(frontend.tls.trust.base) == new.certificate


def test_files_that_do_not_fit_together_are_refused_and_the_old_ones_shown(
    files: Files, allow_log: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    allow_log(REFUSED)
    old, new = server_certificate(), server_certificate()
    files.hold(old)
    held = CertificateFiles(files.certificate, files.key)
    whole = new.with_chain(EDGE).chain_pem()
    half_written: list[Callable[[], object]] = [
        lambda: files.certificate.write_bytes(new.chain_pem()),
        lambda: files.certificate.write_bytes(b""),
        lambda: files.certificate.write_bytes(whole[: len(new.chain_pem()) // 2]),
        lambda: files.certificate.write_bytes(whole[:-30]),
        lambda: files.certificate.write_bytes(new.certificate.public_bytes(DER)),
        files.certificate.unlink,
        lambda: files.hold(old, key_of=new),
        lambda: files.key.write_bytes(old.key_pem()[:-30]),
        lambda: files.key.write_bytes(encrypted_key(old)),
        files.key.unlink,
    ]
    for write in half_written:
        files.hold(old)
        held.is_renewed()
        caplog.clear()
        write()
        # Looked at again and again, it is told once.
        assert [held.is_renewed() for _ in range(3)] == [False] * 3
        (told,) = [it for it in caplog.records if it.getMessage() == REFUSED]
        assert told.levelno == logging.ERROR
        assert str(files.certificate) in vars(told)["why"]
        assert shown_by(held) == old.certificate
    files.hold(new)
    assert [held.is_renewed() for _ in range(2)] == [True, False]
    assert shown_by(held) == new.certificate


def encrypted_key(it: Identity) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return it.key.private_bytes(PEM, form, serialization.BestAvailableEncryption(b"secret"))


def test_an_encrypted_key_is_refused_at_start_and_no_password_asked_for(files: Files) -> None:
    it = server_certificate()
    files.hold(it)
    files.key.write_bytes(encrypted_key(it))
    with pytest.raises(CertificateUnusable, match="the key is encrypted"):
        CertificateFiles(files.certificate, files.key)


def test_files_behind_a_link_that_is_moved_are_noticed(files: Files, tmp_path: Path) -> None:
    """As an orchestrator mounts secrets: both change in one step."""
    certificates = [server_certificate(), server_certificate()]
    for number, it in enumerate(certificates):
        (tmp_path / str(number)).mkdir()
        Files(tmp_path / str(number) / "a.pem", tmp_path / str(number) / "a.key").hold(it)
    current, draft = tmp_path / "current", tmp_path / "draft"
    current.symlink_to("0")
    held = CertificateFiles(current / "a.pem", current / "a.key")
    draft.symlink_to("1")
    draft.replace(current)
    assert held.is_renewed()
    assert shown_by(held) == certificates[1].certificate


def test_files_that_are_written_again_as_they_were_are_not_renewed(files: Files) -> None:
    it = server_certificate()
    files.hold(it)
    held = CertificateFiles(files.certificate, files.key)
    os.utime(files.certificate, (1, 1))
    files.key.unlink()
    files.hold(it)
    assert not held.is_renewed()


@dataclass
class Clock:
    at: datetime

    def now(self) -> datetime:
        return self.at


def test_what_is_issued_here_is_renewed_long_before_it_expires(tmp_path: Path) -> None:
    clock = Clock(datetime(2026, 3, 1, tzinfo=UTC))
    issuer = LocalIssuer(tmp_path, "localhost", now=clock.now)
    first = shown_by(issuer)
    clock.at += timedelta(days=SERVER_DAYS_SHOWN, seconds=-1)
    assert not issuer.is_renewed()
    assert shown_by(issuer).public_key() == first.public_key()
    clock.at += timedelta(seconds=1)
    assert [issuer.is_renewed() for _ in range(2)] == [True, False]
    second = shown_by(issuer)
    assert second.public_key() != first.public_key()
    assert second.not_valid_after_utc == clock.at + timedelta(days=SERVER_DAYS)
    assert first.not_valid_after_utc - clock.at > timedelta(days=SERVER_DAYS_SHOWN)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_the_local_ca_is_issued_anew_in_time_and_both_are_good_meanwhile(
    tmp_path: Path, is_restarted: bool
) -> None:
    clock = Clock(datetime(2026, 3, 1, tzinfo=UTC))
    issuer = LocalIssuer(tmp_path, "localhost", now=clock.now)
    old = x509.load_pem_x509_certificate(issuer.authority_path.read_bytes())
    clock.at = old.not_valid_after_utc - timedelta(days=AUTHORITY_DAYS_LEFT_MIN, seconds=-1)
    if is_restarted:
        issuer = LocalIssuer(tmp_path, "localhost", now=clock.now)
    else:
        assert issuer.is_renewed()
    new = x509.load_pem_x509_certificate(issuer.authority_path.read_bytes())
    assert new.not_valid_after_utc > old.not_valid_after_utc
    for authority_certificate in (old, new):
        shown_by(issuer).verify_directly_issued_by(authority_certificate)
    assert shown_by(issuer).not_valid_after_utc < old.not_valid_after_utc
    assert new.fingerprint(hashes.SHA256()) != old.fingerprint(hashes.SHA256())
    key_file = tmp_path / "ca.key"
    assert oct(key_file.stat().st_mode)[-2:] == "00"
