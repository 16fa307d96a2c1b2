"""A strict OpenID provider, which lies where it is told to.

It demands PKCE, the exact redirect URI and the client's secret, and takes a code once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus, urlencode

import uvicorn
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT_ID = "perdure-console"
CLIENT_SECRET = "s3cr+t/with:signs"
KEY_ID = "key-1"
TOKEN_SECONDS = 300
START_SECONDS_MAX = 10

Json = dict[str, Any]
Fault = Callable[[Any], Any]
Key = RSAKey | ECKey


@dataclass
class Code:
    """What a code was given for."""

    redirect_uri: str
    challenge: str
    nonce: str


@dataclass
class IdentityProvider:
    """`faults` change what leaves, by stage: metadata, keys, answer, claims, token, tokens,
    userinfo. One that returns a Response has it sent as it is. `asked` are the paths, in order.
    """

    now: Callable[[], datetime]
    key: Key
    issuer: str = ""
    redirect_uri: str = ""
    user: Json = field(default_factory=dict)
    signs_by: Json = field(default_factory=lambda: {"alg": "RS256", "kid": KEY_ID})
    published: Json | None = None
    tells_email_in_token: bool = True
    faults: dict[str, Fault] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    access_tokens: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._metadata),
                Route("/keys", self._keys),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/userinfo", self._userinfo),
            ]
        )

    def metadata(self) -> Json:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def keys(self) -> Json:
        public = self.key.as_dict(private=False)
        return self.published or {"keys": [{**public, "kid": KEY_ID, "use": "sig"}]}

    def sign(self, claims: Json) -> str:
        """A token as the provider makes it."""
        return signed(claims, self.signs_by, self.key)

    async def _metadata(self, request: Request) -> Response:
        return self._sent("metadata", request, self.metadata())

    async def _keys(self, request: Request) -> Response:
        return self._sent("keys", request, self.keys())

    async def _authorize(self, request: Request) -> Response:
        asked = request.query_params
        is_right = (
            asked.get("response_type") == "code"
            and asked.get("client_id") == CLIENT_ID
            and asked.get("redirect_uri") == self.redirect_uri
            and asked.get("code_challenge_method") == "S256"
            and "openid" in asked.get("scope", "").split()
        )
        if not is_right:
            return JSONResponse({"error": "invalid_request"}, 400)
        code = secrets.token_urlsafe(16)
        self.codes[code] = Code(self.redirect_uri, asked["code_challenge"], asked["nonce"])
        answer: Json = {"code": code, "state": asked["state"], "iss": self.issuer}
        answer = self.faults.get("answer", _same)(answer)
        return RedirectResponse(f"{self.redirect_uri}?{urlencode(answer)}", 302)

    async def _token(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        form = await request.form()
        if request.headers.get("authorization") != _basic() and not _has_secret(dict(form)):
            return JSONResponse({"error": "invalid_client"}, 401)
        code = self.codes.pop(str(form.get("code")), None)
        verifier = str(form.get("code_verifier", ""))
        if (
            code is None
            or form.get("redirect_uri") != code.redirect_uri
            or not hmac.compare_digest(_challenge(verifier), code.challenge)
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return self._changed("tokens", self._tokens(code))

    def _tokens(self, code: Code) -> Json:
        access_token = secrets.token_urlsafe(16)
        self.access_tokens.add(access_token)
        at = int(self.now().timestamp())
        about = self.user if self.tells_email_in_token else {"sub": self.user["sub"]}
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": at,
            "exp": at + TOKEN_SECONDS,
            "nonce": code.nonce,
            **about,
        }
        token = self.sign(self.faults.get("claims", _same)(claims))
        token = self.faults.get("token", _same)(token)
        return {"access_token": access_token, "token_type": "Bearer", "id_token": token}

    async def _userinfo(self, request: Request) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.access_tokens:
            return JSONResponse({"error": "invalid_token"}, 401)
        return self._sent("userinfo", request, dict(self.user))

    def _sent(self, stage: str, request: Request, told: Json) -> Response:
        self.asked.append(request.url.path)
        return self._changed(stage, told)

    def _changed(self, stage: str, told: Json) -> Response:
        changed = self.faults.get(stage, _same)(told)
        return changed if isinstance(changed, Response) else JSONResponse(changed)


def signed(claims: Json, head: Json, key: Any) -> str:
    return jws.serialize_compact(head, json.dumps(claims), key, algorithms=[head["alg"]])


@contextmanager
def served(provider: IdentityProvider) -> Iterator[None]:
    """The provider at an address of this machine, which becomes its issuer."""
    config = uvicorn.Config(
        provider.application(), host="127.0.0.1", port=0, lifespan="off", log_level="error"
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert server.listening.wait(START_SECONDS_MAX), "the provider did not start"
        provider.issuer = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield
    finally:
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        self.listening.set()


def _same(it: Any) -> Any:
    return it


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _basic() -> str:
    # As RFC 6749 has it: both parts are encoded as in a form before they are joined.
    pair = urlencode({CLIENT_ID: CLIENT_SECRET}).replace("=", ":")
    assert unquote_plus(pair) == f"{CLIENT_ID}:{CLIENT_SECRET}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _has_secret(form: Json) -> bool:
    return (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
