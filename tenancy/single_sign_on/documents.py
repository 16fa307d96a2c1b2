"""Documents of identity providers: asked for by the guarded client, small, and JSON objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tenancy.errors import AddressRefused, NoAnswer
from tenancy.outgoing import Outgoing, Reply
from tenancy.single_sign_on.errors import SignOnProblem, SignOnRefused

DOCUMENT_BYTES_MAX = 256 * 1024

Document = dict[str, Any]


async def ask(
    outgoing: Outgoing,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """What the provider answers, by POST if there is a body; raises SignOnRefused."""
    told = {"accept": "application/json", **(headers or {})}
    try:
        reply = await outgoing.send("GET" if body is None else "POST", url, body=body, headers=told)
    except AddressRefused as error:
        raise SignOnRefused(SignOnProblem.ADDRESS_REFUSED, error.why) from error
    except NoAnswer as error:
        raise SignOnRefused(SignOnProblem.UNREACHABLE, error.why) from error
    if 300 <= reply.status < 400:
        raise SignOnRefused(SignOnProblem.REDIRECTED)
    if len(reply.body) > DOCUMENT_BYTES_MAX:
        raise SignOnRefused(SignOnProblem.DOCUMENT_TOO_LARGE)
    return reply


def read_object(body: bytes, what: str) -> Document:
    """Raises SignOnRefused unless it is a JSON object; `what` says which document it is."""
    try:
        found = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise SignOnRefused(SignOnProblem.DOCUMENT_MALFORMED, f"{what} is no JSON object")
    return found


async def document(
    outgoing: Outgoing, url: str, what: str, *, headers: Mapping[str, str] | None = None
) -> Document:
    reply = await ask(outgoing, url, headers=headers)
    if not reply.is_success:
        raise SignOnRefused(
            SignOnProblem.DOCUMENT_REFUSED, f"{what} came with status {reply.status}"
        )
    return read_object(reply.body, what)


def _no_number(text: str) -> float:
    raise ValueError(text)
