"""Client certificates that a proxy forwards; nginx is run for real where it is installed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from api.tls import TlsSettings
from api.tls.forwarded import FORWARDED_CHARACTERS_MAX, ForwardedPeers, Proxy
from api.tls.hop import Hop
from api.transports.errors import InvalidHeader
from tenancy.login_limits import ATTEMPTS_PER_ADDRESS_MAX
from tests.control.visitor import PASSWORD
from tests.product.server import free_port
from tests.tls import zoo
from tests.tls.pki import SERVER, Identity, authority, dns, leaf
from tests.tls.site import REFUSED, Tenant, TlsSite, listed, serving

SECRET = "hop secret of at least 32 characters"
WAIT_SECONDS_MAX = 30.0
NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr error; events {{}}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    ssl_verify_client optional_no_ca; ssl_verify_depth 4; ssl_session_tickets off;
    location / {{
      proxy_pass http://127.0.0.1:{behind};
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $ssl_server_name;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Client-Cert $ssl_client_escaped_cert;
      proxy_set_header X-Perdure-Hop "{secret}";
    }}
  }}
}}
"""


def escaped(identity: Identity) -> str:
    """As nginx does it."""
    return quote(identity.pem, safe="")


@pytest.fixture(scope="module")
async def behind(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TlsSite]:
    """A cloud that believes a proxy."""
    settings = TlsSettings(port=0, proxy=Proxy.NGINX, proxy_secret=SECRET)
    async with serving(tmp_path_factory.mktemp("behind") / "data", settings) as site:
        yield site


@pytest.fixture(scope="module")
async def tenant(behind: TlsSite) -> Tenant:
    tenant = await behind.tenant()
    assert (await tenant.trust(*zoo.trusted())).is_success
    return tenant


async def status(
    site: TlsSite, host: str, namespace: str, *, told: str = "", secret: str = SECRET
) -> int:
    """What a call is answered that comes over the plain port."""
    headers = {"host": host, "x-client-cert": told, "x-perdure-hop": secret}
    client = site.plain.stranger(**{name: it for name, it in headers.items() if it}).http
    return (await client.get(f"/api/v1/namespaces/{namespace}/workflows")).status_code


async def test_a_forwarded_certificate_is_judged_by_the_namespace_of_its_host(
    behind: TlsSite, tenant: Tenant
) -> None:
    neighbour = await behind.tenant()
    await neighbour.trust(zoo.hostile())
    host, name = behind.host(tenant.namespace), tenant.namespace
    assert await status(behind, host, name, told=escaped(leaf(zoo.root()))) == 200
    assert await status(behind, host, name, told=escaped(leaf(zoo.hostile()))) == 401
    assert await status(behind, host, name) == 401
    other = behind.host(neighbour.namespace)
    assert await status(behind, other, name, told=escaped(leaf(zoo.hostile()))) == 421
    assert await status(behind, "localhost", name, told=escaped(leaf(zoo.root()))) == 401


@pytest.mark.parametrize("secret", ["", "wrong", SECRET + "x", SECRET[:-1]])
async def test_without_the_secret_of_the_hop_a_header_is_nothing(
    behind: TlsSite, tenant: Tenant, secret: str
) -> None:
    told, host = escaped(leaf(zoo.root())), behind.host(tenant.namespace)
    assert await status(behind, host, tenant.namespace, told=told, secret=secret) == 401


@pytest.mark.parametrize("told", ["forged", "%2D%2D", quote("-----BEGIN CERTIFICATE-----\nx")])
async def test_a_header_that_holds_no_certificate_is_refused(
    behind: TlsSite, tenant: Tenant, told: str
) -> None:
    host = behind.host(tenant.namespace)
    assert await status(behind, host, tenant.namespace, told=told) == 400


async def test_a_ca_that_is_removed_is_gone_behind_a_proxy_too(behind: TlsSite) -> None:
    tenant = await behind.tenant()
    await tenant.trust(zoo.root())
    host, told = behind.host(tenant.namespace), escaped(leaf(zoo.root()))
    assert await status(behind, host, tenant.namespace, told=told) == 200
    await tenant.trust(zoo.stranger())
    assert await status(behind, host, tenant.namespace, told=told) == 401


@pytest.mark.parametrize("is_proven", [True, False])
async def test_log_ins_are_limited_by_the_address_that_the_proxy_tells(
    behind: TlsSite, is_proven: bool
) -> None:
    """Nobody shuts out those who come by the same proxy; who writes the header gains nothing."""
    visitor = behind.plain.stranger(**({"x-perdure-hop": SECRET} if is_proven else {}))

    async def log_in(clients: str) -> int:
        visitor.http.headers["x-forwarded-for"] = clients
        wrong = {"email": behind.plain.new_email(), "password": PASSWORD}
        return (await visitor.call("POST", "/api/v1/login", wrong)).status_code

    forged = [f"198.51.100.{number}" for number in range(ATTEMPTS_PER_ADDRESS_MAX)]
    for each in forged:
        assert await log_in(f"{each}, 203.0.113.7" if is_proven else each) == 401
    assert await log_in("203.0.113.7") == 429
    assert await log_in("203.0.113.7, 203.0.113.8") == (401 if is_proven else 429)


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("evil, 203.0.113.7", "203.0.113.7"),
        ("1.1.1.1,2001:DB8::1 ", "2001:db8::1"),
        (None, None),
    ],
)
def test_the_last_address_of_the_header_is_the_clients(
    told: str | None, address: str | None
) -> None:
    headers = {b"x-perdure-hop": SECRET.encode()}
    if told is not None:
        headers[b"x-forwarded-for"] = told.encode()
    assert Hop(SECRET).client(headers) == address
    headers[b"x-perdure-hop"] = SECRET[:-1].encode()
    assert Hop(SECRET).client(headers) is None


@pytest.mark.parametrize("told", ["", "unknown", "203.0.113.7:80", "203.0.113.7,"])
def test_a_hop_that_tells_no_address_is_refused(told: str) -> None:
    headers = {b"x-perdure-hop": SECRET.encode(), b"x-forwarded-for": told.encode()}
    with pytest.raises(InvalidHeader, match="without a port"):
        Hop(SECRET).client(headers)


def peers(proxy: Proxy) -> ForwardedPeers:
    return ForwardedPeers(proxy, SECRET)


def chain_in(proxy: Proxy, header: bytes, value: str) -> tuple[bytes, ...]:
    headers = {b"host": b"a.b.localhost", b"x-perdure-hop": SECRET.encode()}
    peer = peers(proxy).peer({**headers, header: value.encode()})
    assert peer is not None
    return peer.chain


def test_of_what_envoy_forwards_the_last_element_counts() -> None:
    ours, forged = leaf(zoo.issuer()).with_chain(zoo.issuer()), leaf(zoo.root())
    chain = quote(ours.chain_pem().decode(), safe="")
    subject = 'Subject="CN=\\"x, y\\";O=a"'
    value = (
        f'Hash=00;Cert="{escaped(forged)}",By=spiffe://c/envoy;Hash=ab;Cert="{escaped(ours)}";'
        f'Chain="{chain}";{subject};URI=spiffe://acme/worker'
    )
    header = b"x-forwarded-client-cert"
    assert list(chain_in(Proxy.ENVOY, header, value)) == ours.presented
    leaf_alone = value.replace(f'Chain="{chain}";', "")
    assert list(chain_in(Proxy.ENVOY, header, leaf_alone)) == ours.presented[:1]
    last = f'Cert="{escaped(forged)}",By=spiffe://c/envoy;Hash=ab'
    assert chain_in(Proxy.ENVOY, header, last) == ()
    swallowing = f'Cert="{escaped(forged)}";x=",By=spiffe://c/envoy;Cert="{escaped(ours)}"'
    with pytest.raises(InvalidHeader, match="no certificate"):
        chain_in(Proxy.ENVOY, header, swallowing)


def test_a_load_balancer_forwards_the_whole_chain() -> None:
    ours = leaf(zoo.issuer()).with_chain(zoo.issuer())
    value = quote(ours.chain_pem().decode(), safe="+=/")
    assert list(chain_in(Proxy.ALB, b"x-amzn-mtls-clientcert", value)) == ours.presented


@pytest.mark.parametrize("header", [b"x-forwarded-client-cert", b"x-amzn-mtls-clientcert"])
def test_a_header_of_another_kind_of_proxy_is_not_read(header: bytes) -> None:
    """The proxy in front lets it pass as the client wrote it."""
    assert chain_in(Proxy.NGINX, header, f'Cert="{escaped(leaf(zoo.root()))}"') == ()


def test_a_forwarded_header_is_bounded() -> None:
    told = escaped(leaf(zoo.root())).ljust(FORWARDED_CHARACTERS_MAX, "#")
    assert chain_in(Proxy.NGINX, b"x-client-cert", told)
    with pytest.raises(InvalidHeader, match="more than"):
        chain_in(Proxy.NGINX, b"x-client-cert", told + "#")


@pytest.fixture
async def nginx(behind: TlsSite, tenant: Tenant, tmp_path: Path) -> AsyncIterator[int]:
    """Its port."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    names = [dns(behind.host(tenant.namespace)), dns("localhost")]
    shown = leaf(authority("Edge"), names=names, usages=(SERVER,))
    certificate, key = shown.written(tmp_path)
    port, config = free_port(), tmp_path / "nginx.conf"
    text = NGINX.format(
        folder=tmp_path,
        port=port,
        certificate=certificate,
        key=key,
        behind=behind.plain_port,
        secret=SECRET,
    )
    config.write_text(text)
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(config), "-p", str(tmp_path), stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not await _listens(port):
                assert process.returncode is None, "nginx ended"
        yield port
    finally:
        process.terminate()
        await process.communicate()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def test_nginx_forwards_certificates(behind: TlsSite, tenant: Tenant, nginx: int) -> None:
    host, name = behind.host(tenant.namespace), tenant.namespace
    forged = [("x-client-cert", escaped(leaf(zoo.root())))]
    key = [("authorization", f"Bearer {await tenant.visitor.key()}")]

    async def outcome(
        identity: Identity | None, *, headers: list[tuple[str, str]] | None = None, at: str = host
    ) -> int | str:
        context = behind.context(identity)
        # Who nginx is does not matter here.
        context.check_hostname, context.verify_mode = False, 0  # type: ignore[assignment]
        async with httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{nginx}", verify=context, trust_env=False
        ) as client:
            try:
                return (await listed(client, at, name, headers or [])).status_code
            except httpx.TransportError:
                return REFUSED

    assert await outcome(leaf(zoo.root())) == 200
    assert await outcome(leaf(zoo.rsa_root())) == 200
    assert await outcome(leaf(zoo.stored_issuer())) == 200
    for kind in ("expired", "of the hostile twin", "self-signed", "for servers only"):
        assert await outcome(zoo.BAD[kind]()) in (401, 400)
    # It forwards the leaf alone, so that an intermediate must be part of the bundle.
    assert await outcome(zoo.GOOD["an intermediate"]()) == 401
    assert await outcome(None) == 401
    assert await outcome(None, headers=forged) == 401
    assert await outcome(None, headers=key) == 200
    assert await outcome(leaf(zoo.root()), at="localhost") == 401
