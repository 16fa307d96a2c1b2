"""How a server is told to speak TLS, and what it makes for itself."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest

from api.config import read_config
from api.tls import TlsSettings
from api.tls.config import as_arguments
from api.tls.files import CertificateFiles
from api.tls.forwarded import Proxy
from api.tls.hop import SECRET_CHARACTERS_MIN
from api.tls.issuer import LocalIssuer
from api.tls.peer import HostNames, host_in
from api.tls.shown import CertificateUnusable
from tests.tls.pki import SERVER, authority, dns, leaf
from tests.tls.site import TlsSite, serving

SECRET = {"PERDURE_PROXY_SECRET": "x" * SECRET_CHARACTERS_MIN}


def test_nothing_is_spoken_but_plain_http_unless_it_is_asked_for() -> None:
    assert read_config([], {}).tls == TlsSettings()


def test_another_process_is_told_the_same() -> None:
    given = ["--tls-port", "0", "--base-domain", "Cloud.Example", "--proxy", "nginx"]
    files = ["--tls-certificate", "/etc/a.pem", "--tls-key", "/etc/a.key"]
    config = read_config([*given, *files], SECRET)
    assert config.tls.base_domain == "cloud.example"
    assert config.tls.proxy is Proxy.NGINX
    assert read_config(as_arguments(config.tls), SECRET).tls == config.tls
    assert SECRET["PERDURE_PROXY_SECRET"] not in as_arguments(config.tls)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tls-certificate", "a"], "go together"),
        (["--tls-port", "x"], "a port is a number"),
        (["--base-domain", "a_b"], "is a host name"),
        (["--base-domain", ".a"], "is a host name"),
        (["--proxy", "nginx"], "at least 32 characters in PERDURE_PROXY_SECRET"),
        ([], "at least 32 characters in PERDURE_PROXY_SECRET"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_config(arguments, {"PERDURE_PROXY_SECRET": "x" * (SECRET_CHARACTERS_MIN - 1)})
    assert says in capsys.readouterr().err


def test_the_local_ca_outlives_a_restart_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    first = LocalIssuer(tmp_path / "tls", "localhost").authority_path.read_bytes()
    assert LocalIssuer(tmp_path / "tls", "localhost").authority_path.read_bytes() == first
    files = [tmp_path / "tls", *(tmp_path / "tls").iterdir()]
    assert {stat.S_IMODE(file.stat().st_mode) & 0o077 for file in files} == {0}
    assert sorted(file.name for file in files[1:]) == ["ca.key", "ca.pem"]


@pytest.mark.parametrize("name", ["ca.pem", "ca.key"])
def test_a_damaged_local_ca_is_told(tmp_path: Path, name: str) -> None:
    LocalIssuer(tmp_path, "localhost")
    (tmp_path / name).write_text("x")
    with pytest.raises(CertificateUnusable, match="is damaged"):
        LocalIssuer(tmp_path, "localhost")


def test_a_certificate_that_cannot_be_used_is_told_at_start(tmp_path: Path) -> None:
    one, other = leaf(authority()).written(tmp_path), leaf(authority()).written(tmp_path)
    with pytest.raises(CertificateUnusable, match="give a certificate and its key"):
        CertificateFiles(one[0], other[1])
    with pytest.raises(CertificateUnusable):
        CertificateFiles(tmp_path / "absent.pem", other[1])


async def test_a_server_shows_the_certificate_that_it_was_given(tmp_path: Path) -> None:
    edge = authority("Edge")
    shown = leaf(edge, names=[dns("*.acme.cloud.example"), dns("localhost")], usages=(SERVER,))
    certificate, key = shown.written(tmp_path)
    settings = TlsSettings("cloud.example", 0, certificate, key)
    async with serving(tmp_path / "data", settings) as site:
        context = ssl.create_default_context(cadata=edge.pem)
        answer = await site.client(context=context).get(
            "/healthz", headers={"host": "localhost"}, extensions={"sni_hostname": "localhost"}
        )
        assert answer.status_code == 200


async def test_every_host_is_shown_a_certificate_with_its_own_name(site: TlsSite) -> None:
    tenant = await site.tenant()
    for host in (site.host(tenant.namespace), "localhost"):
        answer = await site.client().get(
            "/healthz", headers={"host": host}, extensions={"sni_hostname": host}
        )
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("host", "namespace"),
    [
        ("orders.acme.cloud.example", "orders.acme"),
        ("acme.cloud.example", None),
        ("a.orders.acme.cloud.example", None),
        ("cloud.example", None),
        ("orders.acme.cloud.example.evil.example", None),
        ("orders.acme", None),
        ("", None),
    ],
)
def test_a_host_stands_for_one_namespace(host: str, namespace: str | None) -> None:
    assert HostNames("cloud.example").namespace_of(host) == namespace


@pytest.mark.parametrize(
    ("header", "host"),
    [(b"A.b:8234", "a.b"), (b"a.b", "a.b"), (b"[::1]:80", "[::1]"), (b"", ""), (b":1", "")],
)
def test_a_host_header_may_have_a_port(header: bytes, host: str) -> None:
    assert host_in(header) == host
