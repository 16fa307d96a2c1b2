"""Sign up on a fresh server and make a namespace and a key, as any customer would."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from benchmarks.http_client import HttpClient
from benchmarks.servers import ServerFailed

SIGN_UP = "/api/v1/sign-up"
NAMESPACES = "/cloud/namespaces"
API_KEYS = "/cloud/api-keys"
OPERATIONS = "/cloud/operations"
JSON = {"Content-Type": "application/json", "Accept": "application/json"}

NAMESPACE_WAIT_SECONDS_MAX = 30
LOOK_AGAIN_SECONDS = 0.1


class Access(NamedTuple):
    """What a worker or client needs besides the address."""

    namespace: str
    api_key: str


async def open_account(port: int, client_authority: bytes = b"") -> Access:
    """Create an account with one active namespace and one API key.

    The namespace trusts client certificates of that CA, given in PEM.
    """
    person = {"email": "bench@example.com", "password": secrets.token_urlsafe(16)}
    async with HttpClient(port, JSON) as client:
        answer = await client.request("POST", SIGN_UP, json.dumps(person).encode())
        if answer.status not in (200, 201):
            raise ServerFailed(f"sign-up answered {answer.status}: {answer.body[:300]!r}")
        session = {
            "Cookie": answer.headers[b"set-cookie"].partition(b";")[0].decode(),
            "X-CSRF-Token": json.loads(answer.body)["csrf_token"],
        }
    async with HttpClient(port, {**JSON, **session}) as client:
        spec: dict[str, Any] = {
            "name": "bench",
            "retentionDays": 1,
            "apiKeyAuth": {"enabled": True},
        }
        if client_authority:
            trusted = base64.b64encode(client_authority).decode()
            spec["mtlsAuth"] = {"enabled": True, "acceptedClientCa": trusted}
        created = await _call(client, "POST", NAMESPACES, {"spec": spec})
        await _finished(client, created["asyncOperation"]["id"])
        expiry = datetime.now(UTC) + timedelta(days=1)
        key = {"displayName": "bench", "expiryTime": expiry.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return Access(
            namespace=created["namespace"],
            api_key=(await _call(client, "POST", API_KEYS, {"spec": key}))["token"],
        )


async def _finished(client: HttpClient, operation_id: str) -> None:
    async with asyncio.timeout(NAMESPACE_WAIT_SECONDS_MAX):
        while True:
            answer = await _call(client, "GET", f"{OPERATIONS}/{operation_id}")
            state = answer["asyncOperation"]["state"]
            if state.endswith("FULFILLED"):
                return
            if state.endswith(("FAILED", "CANCELLED", "REJECTED")):
                raise ServerFailed(f"the namespace was not created: {answer}")
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def _call(client: HttpClient, verb: str, path: str, body: Any = None) -> Any:
    answer = await client.request(verb, path, b"" if body is None else json.dumps(body).encode())
    if answer.status not in (200, 201, 202):
        raise ServerFailed(f"{path} answered {answer.status}: {answer.body[:300]!r}")
    return json.loads(answer.body)
