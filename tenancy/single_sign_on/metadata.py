"""A provider's own configuration, by OpenID Connect Discovery."""

from __future__ import annotations

from dataclasses import dataclass

from tenancy.errors import AddressRefused
from tenancy.outgoing import Outgoing
from tenancy.single_sign_on.documents import Document, document
from tenancy.single_sign_on.errors import SignOnProblem, SignOnRefused

WELL_KNOWN = "/.well-known/openid-configuration"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signatures by a key that the provider alone has: never none, never one by the client secret."""

BASIC = "client_secret_basic"
POST = "client_secret_post"


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """`names_itself` says that answers carry the issuer, by RFC 9207."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    algorithms: frozenset[str]
    sends_secret_in_body: bool
    names_itself: bool


async def discover(outgoing: Outgoing, issuer: str) -> ProviderMetadata:
    """Raises SignOnRefused for a configuration that is another's, or cannot be used."""
    what = "the configuration"
    told = await document(outgoing, issuer.rstrip("/") + WELL_KNOWN, what)
    if told.get("issuer") != issuer:
        raise SignOnRefused(SignOnProblem.METADATA_ISSUER_WRONG)
    signs_by = _texts(told, "id_token_signing_alg_values_supported") or ["RS256"]
    algorithms = frozenset(signs_by).intersection(ALGORITHMS)
    if not algorithms:
        raise SignOnRefused(SignOnProblem.ALGORITHMS_UNSUPPORTED)
    methods = _texts(told, "token_endpoint_auth_methods_supported") or [BASIC]
    userinfo = "userinfo_endpoint"
    return ProviderMetadata(
        issuer=issuer,
        authorization_endpoint=_endpoint(outgoing, told, "authorization_endpoint"),
        token_endpoint=_endpoint(outgoing, told, "token_endpoint"),
        jwks_uri=_endpoint(outgoing, told, "jwks_uri"),
        userinfo_endpoint=_endpoint(outgoing, told, userinfo) if userinfo in told else None,
        algorithms=algorithms,
        sends_secret_in_body=BASIC not in methods and POST in methods,
        names_itself=told.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(outgoing: Outgoing, told: Document, name: str) -> str:
    url = told.get(name)
    if not isinstance(url, str):
        raise SignOnRefused(SignOnProblem.ENDPOINT_MISSING, name)
    try:
        outgoing.check(url)
    except AddressRefused as error:
        raise SignOnRefused(SignOnProblem.ADDRESS_REFUSED, f"{name}: {error.why}") from error
    return url


def _texts(told: Document, name: str) -> list[str]:
    values = told.get(name, [])
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise SignOnRefused(SignOnProblem.DOCUMENT_MALFORMED, f"{name} is no list of names")
    return values
