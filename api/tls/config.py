"""The settings of TLS on the command line and in the environment."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from api.tls import BASE_DOMAIN_DEFAULT, TlsSettings
from api.tls.forwarded import Proxy
from api.tls.hop import HOP_HEADER, SECRET_CHARACTERS_MIN

PROXY_SECRET_VARIABLE = "PERDURE_PROXY_SECRET"  # noqa: S105 - the name of one
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def add_arguments(parser: argparse.ArgumentParser, port: Callable[[str], int]) -> None:
    parser.add_argument(
        "--tls-port", type=port, help="also listen for TLS, with client certificates; 0: a free one"
    )
    parser.add_argument(
        "--base-domain",
        type=_domain,
        default=BASE_DOMAIN_DEFAULT,
        help="a namespace's host is <namespace>.<account>.<base domain>",
    )
    parser.add_argument(
        "--tls-certificate",
        type=Path,
        help="the server's certificate with its chain, in PEM; one is issued here if left out",
    )
    parser.add_argument("--tls-key", type=Path, help="its key, in PEM")
    parser.add_argument(
        "--proxy",
        type=Proxy,
        choices=tuple(Proxy),
        help="believe the client certificates that this proxy forwards beside a header"
        f" {HOP_HEADER.decode()} with the secret in {PROXY_SECRET_VARIABLE}",
    )


def tls_settings(
    parser: argparse.ArgumentParser, given: argparse.Namespace, environment: Mapping[str, str]
) -> TlsSettings:
    """Ends the process with a usage message where settings do not go together."""
    if (given.tls_certificate is None) != (given.tls_key is None):
        parser.error("--tls-certificate and --tls-key go together")
    secret = environment.get(PROXY_SECRET_VARIABLE, "")
    if (secret or given.proxy is not None) and len(secret) < SECRET_CHARACTERS_MIN:
        parser.error(
            f"a proxy needs a secret of at least {SECRET_CHARACTERS_MIN} characters in"
            f" {PROXY_SECRET_VARIABLE}"
        )
    return TlsSettings(
        base_domain=given.base_domain,
        port=given.tls_port,
        certificate=given.tls_certificate and given.tls_certificate.absolute(),
        key=given.tls_key and given.tls_key.absolute(),
        proxy=given.proxy,
        proxy_secret=secret,
    )


def as_arguments(settings: TlsSettings) -> list[str]:
    """What tells another process the same; the secret goes by the environment."""
    told = {
        "--base-domain": settings.base_domain,
        "--tls-port": settings.port,
        "--tls-certificate": settings.certificate,
        "--tls-key": settings.key,
        "--proxy": settings.proxy,
    }
    return [text for name, it in told.items() if it is not None for text in (name, str(it))]


def _domain(text: str) -> str:
    if _DOMAIN.fullmatch(text.lower()) is None:
        raise argparse.ArgumentTypeError("a base domain is a host name, such as cloud.example.com")
    return text.lower()
