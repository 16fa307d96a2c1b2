"""How one forges: what turns an honest answer of a provider or a browser into a lie."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from joserfc.jwk import RSAKey
from starlette.responses import PlainTextResponse, Response

from tenancy.single_sign_on import SignOnProblem
from tenancy.single_sign_on.log_ins import ReturnedAnswer
from tests.single_sign_on.identity_provider import (
    CLIENT_SECRET,
    KEY_ID,
    Fault,
    IdentityProvider,
    Json,
    signed,
)


@dataclass(frozen=True)
class Lie:
    """What is told otherwise than it is: by the provider's documents, or by the browser."""

    problem: SignOnProblem
    faults: dict[str, Fault] = field(default_factory=dict)
    browser: Callable[[ReturnedAnswer], ReturnedAnswer] | None = None
    provider: Callable[[IdentityProvider], None] | None = None


def claims(problem: SignOnProblem, **changed: Any) -> Lie:
    """Claims with others in their place; None takes one away."""

    def change(told: Json) -> Json:
        return {name: it for name, it in {**told, **changed}.items() if it is not None}

    return Lie(problem, {"claims": change})


def times(problem: SignOnProblem, **shifted_seconds: int) -> Lie:
    """Claims whose times are so many seconds from the moment of issue."""

    def change(told: Json) -> Json:
        return {**told, **{name: told["iat"] + by for name, by in shifted_seconds.items()}}

    return Lie(problem, {"claims": change})


def told(problem: SignOnProblem, stage: str, **changed: Any) -> Lie:
    """A document with other fields."""
    return Lie(problem, {stage: lambda it: {**it, **changed}})


def sent(problem: SignOnProblem, stage: str, response: Callable[[], Response]) -> Lie:
    """Another answer in the place of a document."""
    return Lie(problem, {stage: lambda _: response()})


def token(problem: SignOnProblem, change: Callable[[str], str]) -> Lie:
    return Lie(problem, {"token": change})


def browser(problem: SignOnProblem, **changed: Any) -> Lie:
    return Lie(problem, browser=lambda answer: replace(answer, **changed))


def part(told: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(told).encode()).rstrip(b"=").decode()


def with_head(**head: Any) -> Callable[[str], str]:
    """The same token under another head, with the signature that it had."""

    def change(it: str) -> str:
        _, payload, signature = it.split(".")
        return ".".join((part(head), payload, signature))

    return change


def without_signature(it: str) -> str:
    return ".".join((part({"alg": "none"}), it.split(".")[1], ""))


def tampered(it: str) -> str:
    head, payload, signature = it.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return ".".join((head, part({**claims, "sub": "somebody-else"}), signature))


def other_signature(it: str) -> str:
    flipped = "A" if it[-10] != "A" else "B"
    return it[:-10] + flipped + it[-9:]


def signed_anew(key: Callable[[IdentityProvider], Any], **head: Any) -> Fault:
    """A token with the right claims under a signature of the liar's making."""

    def change(it: str) -> str:
        payload = it.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=="))
        return signed(found, head, key(_provider[0]))

    return change


def signed_with_its_own_key(it: str) -> str:
    key = _foreign[0].as_dict(private=False)
    return str(signed_anew(foreign, alg="RS256", kid=KEY_ID, jwk=key)(it))


_provider: list[IdentityProvider] = []
_foreign: list[RSAKey] = []


def at_hand(provider: IdentityProvider, foreign_key: RSAKey) -> None:
    """What lies are made with."""
    _provider[:] = [provider]
    _foreign[:] = [foreign_key]


def foreign(_: IdentityProvider) -> RSAKey:
    return _foreign[0]


def public_key(provider: IdentityProvider) -> bytes:
    return provider.key.as_pem(private=False)


def client_secret(_: IdentityProvider) -> bytes:
    return CLIENT_SECRET.encode()


def by_hmac(secret: Callable[[IdentityProvider], bytes], **head: Any) -> Callable[[str], str]:
    """Where a library lets the token choose, what everybody knows becomes a secret."""

    def change(it: str) -> str:
        text = f"{part({'alg': 'HS256', **head})}.{it.split('.')[1]}"
        digest = hmac.digest(secret(_provider[0]), text.encode(), "sha256")
        return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"

    return change


def publish(*keys: Callable[[Json], Json]) -> Callable[[IdentityProvider], None]:
    """Other keys, made from the one that is published."""

    def change(provider: IdentityProvider) -> None:
        published = provider.keys()["keys"][0]
        provider.published = {"keys": [make(published) for make in keys]}

    return change


def tells_email_by_userinfo(lie: Lie) -> Lie:
    def change(provider: IdentityProvider) -> None:
        provider.tells_email_in_token = False

    return replace(lie, provider=change)


def without(*names: str) -> Fault:
    return lambda it: {name: value for name, value in it.items() if name not in names}


def nested(depth: int) -> Response:
    return PlainTextResponse("[" * depth + "]" * depth)
