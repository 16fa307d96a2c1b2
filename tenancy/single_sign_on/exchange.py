"""From the code of an answer to what the provider says of the user: tokens, claims, userinfo."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn
from urllib.parse import quote_plus, urlsplit

from authlib.oauth2.rfc6749.parameters import prepare_token_request

from tenancy.outgoing import Outgoing, Reply
from tenancy.single_sign_on.documents import Document, ask, document, read_object
from tenancy.single_sign_on.errors import SignOnProblem, SignOnRefused
from tenancy.single_sign_on.id_token import Expected, signature_of, verified_claims
from tenancy.single_sign_on.known_providers import KnownProviders
from tenancy.single_sign_on.metadata import ProviderMetadata

TOKEN_CHARACTERS_MAX = 64 * 1024
_EMAIL_CLAIMS = frozenset(("email", "email_verified"))
ENTRA_HOST = "login.microsoftonline.com"


@dataclass(frozen=True, slots=True)
class Client:
    """What we are at the provider."""

    id: str
    secret: str = field(repr=False)
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A code, and what proves that it belongs to the log-in that asked for it."""

    code: str = field(repr=False)
    verifier: str = field(repr=False)
    nonce: str


@dataclass(frozen=True, slots=True)
class Assertion:
    """What the provider says of who logged in; `claims` is all that it said."""

    issuer: str
    subject: str
    email: str | None
    is_email_verified: bool
    claims: Document


@dataclass(frozen=True, slots=True)
class _Tokens:
    id_token: str
    access_token: str


class Exchange:
    def __init__(self, *, outgoing: Outgoing, providers: KnownProviders) -> None:
        self._outgoing = outgoing
        self._providers = providers

    async def assertion(
        self, metadata: ProviderMetadata, client: Client, answer: Answer, *, at: datetime
    ) -> Assertion:
        """Raises SignOnRefused unless all that came back can be believed."""
        tokens = await self._redeem(metadata, client, answer)
        signature = signature_of(tokens.id_token, metadata.algorithms)
        key = await self._providers.key(metadata, signature)
        if key is None:
            raise SignOnRefused(SignOnProblem.KEY_UNKNOWN)
        expected = Expected(metadata.issuer, client.id, answer.nonce, tokens.access_token, at)
        claims = verified_claims(tokens.id_token, signature, key, expected)
        subject = claims["sub"]
        url = metadata.userinfo_endpoint
        if url is not None and not _EMAIL_CLAIMS <= claims.keys():
            claims = _joined(claims, await self._userinfo(url, tokens.access_token, subject))
        email = claims.get("email")
        return Assertion(
            issuer=metadata.issuer,
            subject=subject,
            email=email if isinstance(email, str) and email else None,
            is_email_verified=_is_verified(metadata.issuer, claims),
            claims=claims,
        )

    async def _redeem(self, metadata: ProviderMetadata, client: Client, answer: Answer) -> _Tokens:
        form = {"code": answer.code, "code_verifier": answer.verifier}
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if metadata.sends_secret_in_body:
            form |= {"client_id": client.id, "client_secret": client.secret}
        else:
            # authlib leaves out the quoting that RFC 6749, section 2.3.1, asks for.
            pair = f"{quote_plus(client.id)}:{quote_plus(client.secret)}".encode()
            headers["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        body = prepare_token_request("authorization_code", "", client.redirect_uri, **form)
        reply = await ask(
            self._outgoing, metadata.token_endpoint, body=body.encode(), headers=headers
        )
        if not reply.is_success:
            _refuse_code(reply)
        told = read_object(reply.body, "the answer with the tokens")
        kind, access_token, id_token = (
            told.get(name) for name in ("token_type", "access_token", "id_token")
        )
        if not isinstance(kind, str) or kind.lower() != "bearer" or not _is_token(access_token):
            raise SignOnRefused(SignOnProblem.TOKEN_TYPE_WRONG)
        if not _is_token(id_token):
            raise SignOnRefused(SignOnProblem.ID_TOKEN_MISSING)
        return _Tokens(str(id_token), str(access_token))

    async def _userinfo(self, url: str, access_token: str, subject: str) -> Document:
        headers = {"authorization": f"Bearer {access_token}"}
        told = await document(self._outgoing, url, "the userinfo", headers=headers)
        if told.get("sub") != subject:
            raise SignOnRefused(SignOnProblem.USERINFO_SUBJECT_WRONG)
        return told


def _joined(claims: Document, more: Document) -> Document:
    """What is signed has the last word; an address and whether it is verified stay together."""
    joined = {**more, **claims}
    if "email" in more:
        joined = {name: it for name, it in joined.items() if name not in _EMAIL_CLAIMS}
        joined |= {name: more[name] for name in _EMAIL_CLAIMS if name in more}
    return joined


def _refuse_code(reply: Reply) -> NoReturn:
    try:
        error = read_object(reply.body, "the refusal").get("error")
    except SignOnRefused:
        error = None
    if error in ("invalid_client", "unauthorized_client") or reply.status == 401:
        raise SignOnRefused(SignOnProblem.CLIENT_REFUSED)
    if error == "invalid_grant":
        raise SignOnRefused(SignOnProblem.CODE_REFUSED)
    raise SignOnRefused(
        SignOnProblem.DOCUMENT_REFUSED, f"the tokens came with status {reply.status}"
    )


def _is_token(it: object) -> bool:
    is_text = isinstance(it, str) and it.isascii() and it.isprintable()
    return is_text and 0 < len(str(it)) <= TOKEN_CHARACTERS_MAX


def _is_verified(issuer: str, claims: Document) -> bool:
    """The text "true" is no statement. Entra ID has a claim of its own for this."""
    if "email_verified" in claims:
        return claims["email_verified"] is True
    return urlsplit(issuer).hostname == ENTRA_HOST and claims.get("xms_edov") is True
