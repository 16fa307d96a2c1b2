"""Where the examples run: the address, namespace and key that the console's quickstart shows."""

from __future__ import annotations

import os

from perdure import Client

ADDRESS = "http://127.0.0.1:8233"


async def connect() -> Client:
    """A client for PERDURE_ADDRESS, PERDURE_NAMESPACE and PERDURE_API_KEY."""
    namespace, api_key = os.environ.get("PERDURE_NAMESPACE"), os.environ.get("PERDURE_API_KEY")
    if not namespace or not api_key:
        raise SystemExit(
            "Set PERDURE_NAMESPACE and PERDURE_API_KEY: the console shows both on the page of "
            "your namespace."
        )
    address = os.environ.get("PERDURE_ADDRESS", ADDRESS)
    return await Client.connect(address, namespace=namespace, api_key=api_key)
