"""Where the examples run: the address, namespace and key that the console's quickstart shows."""

from __future__ import annotations

import os
from pathlib import Path

from perdure import Client, TLSConfig

ADDRESS = "http://127.0.0.1:8233"


async def connect() -> Client:
    """A client for PERDURE_ADDRESS, PERDURE_NAMESPACE and PERDURE_API_KEY.

    Or for PERDURE_TLS_CERT and PERDURE_TLS_KEY in place of the API key.
    """
    namespace, api_key = os.environ.get("PERDURE_NAMESPACE"), os.environ.get("PERDURE_API_KEY")
    tls = client_certificate()
    if not namespace or not (api_key or tls):
        raise SystemExit(
            "Set PERDURE_NAMESPACE and PERDURE_API_KEY: the console shows both on the page of "
            "your namespace."
        )
    address = os.environ.get("PERDURE_ADDRESS", ADDRESS)
    return await Client.connect(address, namespace=namespace, api_key=api_key, tls=tls or True)


def client_certificate() -> TLSConfig | None:
    """From the variables that the command line reads too."""
    if "PERDURE_TLS_CERT" not in os.environ:
        return None
    return TLSConfig(
        server_root_ca_cert=_content("PERDURE_TLS_CA"),
        domain=os.environ.get("PERDURE_TLS_DOMAIN"),
        client_cert=_content("PERDURE_TLS_CERT"),
        client_private_key=_content("PERDURE_TLS_KEY"),
    )


def _content(variable: str) -> bytes | None:
    path = os.environ.get(variable)
    return None if path is None else Path(path).read_bytes()
