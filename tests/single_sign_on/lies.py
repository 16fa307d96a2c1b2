"""Forged, replayed and broken answers, each with the one reason for which it is refused."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, RedirectResponse

from tenancy.single_sign_on import SignOnProblem
from tenancy.single_sign_on.id_token import LEEWAY_SECONDS
from tests.single_sign_on.forgery import (
    Lie,
    browser,
    by_hmac,
    claims,
    client_secret,
    foreign,
    nested,
    other_signature,
    public_key,
    publish,
    sent,
    signed_anew,
    signed_with_its_own_key,
    tampered,
    tells_email_by_userinfo,
    times,
    token,
    told,
    with_head,
    without,
    without_signature,
)
from tests.single_sign_on.identity_provider import CLIENT_ID, KEY_ID, TOKEN_SECONDS

METADATA_ADDRESS = "http://169.254.169.254/latest/meta-data"

P = SignOnProblem

OF_BROWSERS = {
    "no log-in was begun in this browser": browser(P.NOT_BEGUN, cookie=None),
    "a cookie of somebody's making": browser(P.STATE_WRONG, cookie="x" * 43),
    "no state": browser(P.STATE_MISSING, state=""),
    "a wrong state": browser(P.STATE_WRONG, state="x" * 43),
    "a state that is no text": browser(P.STATE_WRONG, state="\ud800"),
    "an answer at another account's redirect URI": browser(P.WRONG_ACCOUNT, account_id="aaaaaa"),
    "an answer of another issuer": browser(P.ANSWER_ISSUER_WRONG, issuer="https://evil.test"),
    "an answer without its issuer": browser(P.ANSWER_ISSUER_MISSING, issuer=None),
    "an error of another issuer": browser(
        P.ANSWER_ISSUER_WRONG, error="access_denied", code="", issuer="https://evil.test"
    ),
    "an error": browser(P.PROVIDER_ERROR, error="access_denied", code=""),
    "no code": browser(P.CODE_MISSING, code=""),
    "an invented code": browser(P.CODE_REFUSED, code="x" * 22),
}

OF_CLAIMS = {
    "another issuer": claims(P.ISSUER_WRONG, iss="https://evil.test"),
    "an issuer with a slash more": Lie(
        P.ISSUER_WRONG, {"claims": lambda it: {**it, "iss": it["iss"] + "/"}}
    ),
    "no issuer": claims(P.ISSUER_WRONG, iss=None),
    "a list of issuers": Lie(P.ISSUER_WRONG, {"claims": lambda it: {**it, "iss": [it["iss"]]}}),
    "another audience": claims(P.AUDIENCE_WRONG, aud="other"),
    "another audience, given to us": claims(P.AUDIENCE_WRONG, aud="other", azp=CLIENT_ID),
    "no audience": claims(P.AUDIENCE_WRONG, aud=None),
    "a part of our name as audience": claims(P.AUDIENCE_WRONG, aud=CLIENT_ID[:-1]),
    "several audiences and no party": claims(P.AUTHORIZED_PARTY_WRONG, aud=[CLIENT_ID, "other"]),
    "several audiences, given to another": claims(
        P.AUTHORIZED_PARTY_WRONG, aud=[CLIENT_ID, "other"], azp="other"
    ),
    "given to another": claims(P.AUTHORIZED_PARTY_WRONG, azp="other"),
    "expired": times(P.EXPIRED, iat=-3_600, exp=-LEEWAY_SECONDS),
    "no expiry": claims(P.TIME_MISSING, exp=None),
    "an expiry as text": claims(P.TIME_MISSING, exp="4102444800"),
    "an expiry that is true": claims(P.TIME_MISSING, exp=True),
    "an expiry beyond all years": claims(P.TIME_MISSING, exp=10**400),
    "no time of issue": claims(P.TIME_MISSING, iat=None),
    "issued in the future": times(
        P.ISSUED_IN_FUTURE, iat=LEEWAY_SECONDS + 1, exp=LEEWAY_SECONDS + TOKEN_SECONDS
    ),
    "not valid yet": times(P.NOT_YET_VALID, nbf=LEEWAY_SECONDS + 1),
    "a beginning that is no time": claims(P.TIME_MISSING, nbf="now"),
    "no nonce": claims(P.NONCE_MISSING, nonce=None),
    "another nonce": claims(P.NONCE_WRONG, nonce="x" * 43),
    "a list of nonces": Lie(P.NONCE_WRONG, {"claims": lambda it: {**it, "nonce": [it["nonce"]]}}),
    "no subject": claims(P.SUBJECT_MISSING, sub=None),
    "an empty subject": claims(P.SUBJECT_MISSING, sub=""),
    "a number as subject": claims(P.SUBJECT_MISSING, sub=1),
    "a subject that is too long": claims(P.SUBJECT_MISSING, sub="x" * 256),
    "a subject with a control character": claims(P.SUBJECT_MISSING, sub="u-1\0"),
    "the hash of another access token": claims(P.ACCESS_TOKEN_WRONG, at_hash="x" * 22),
}

OF_TOKENS = {
    "no signature": token(P.ALGORITHM_REFUSED, without_signature),
    "no signature, in other letters": token(P.ALGORITHM_REFUSED, with_head(alg="nOnE")),
    "an HMAC by the public key": token(P.ALGORITHM_REFUSED, by_hmac(public_key, kid=KEY_ID)),
    "an HMAC by the client's secret": token(P.ALGORITHM_REFUSED, by_hmac(client_secret)),
    "an algorithm that the provider does not use": Lie(
        P.ALGORITHM_REFUSED, {"token": signed_anew(lambda it: it.key, alg="RS512", kid=KEY_ID)}
    ),
    "no algorithm": token(P.ALGORITHM_REFUSED, with_head(kid=KEY_ID)),
    "a key that is not published": token(P.KEY_UNKNOWN, with_head(alg="RS256", kid="key-2")),
    "a key of another issuer": Lie(
        P.SIGNATURE_WRONG, {"token": signed_anew(foreign, alg="RS256", kid=KEY_ID)}
    ),
    "a key of another issuer without a name": Lie(
        P.SIGNATURE_WRONG, {"token": signed_anew(foreign, alg="RS256")}
    ),
    "a key that the token brings along": Lie(
        P.SIGNATURE_WRONG,
        {"token": signed_with_its_own_key},
    ),
    "a key of another kind": token(P.KEY_UNFIT, with_head(alg="ES256", kid=KEY_ID)),
    "claims changed under the signature": token(P.SIGNATURE_WRONG, tampered),
    "another signature": token(P.SIGNATURE_WRONG, other_signature),
    "another algorithm with the same signature": token(
        P.SIGNATURE_WRONG, with_head(alg="PS256", kid=KEY_ID)
    ),
    "two parts": token(P.ID_TOKEN_MALFORMED, lambda it: it.rpartition(".")[0]),
    "an encrypted token": token(P.ID_TOKEN_MALFORMED, lambda it: f"{it}.x.y"),
    "a head that is no JSON": token(P.ID_TOKEN_MALFORMED, lambda it: "x" + it),
    "an access token": token(
        P.ID_TOKEN_MALFORMED, with_head(alg="RS256", kid=KEY_ID, typ="at+jwt")
    ),
    "a critical extension": token(
        P.ID_TOKEN_MALFORMED, with_head(alg="RS256", kid=KEY_ID, crit=["b64"], b64=False)
    ),
    "a number as the key's name": token(P.ID_TOKEN_MALFORMED, with_head(alg="RS256", kid=1)),
}

OF_ENDPOINTS = {
    "another type of token": told(P.TOKEN_TYPE_WRONG, "tokens", token_type="mac"),
    "no type of token": Lie(P.TOKEN_TYPE_WRONG, {"tokens": without("token_type")}),
    "no access token": Lie(P.TOKEN_TYPE_WRONG, {"tokens": without("access_token")}),
    "no ID token": Lie(P.ID_TOKEN_MISSING, {"tokens": without("id_token")}),
    "an ID token that is no text": told(P.ID_TOKEN_MISSING, "tokens", id_token={"sub": "u-1"}),
    "tokens that are no JSON": sent(
        P.DOCUMENT_MALFORMED, "tokens", lambda: PlainTextResponse("id_token=x")
    ),
    "a redirect instead of tokens": sent(
        P.REDIRECTED, "tokens", lambda: RedirectResponse(METADATA_ADDRESS)
    ),
    "a failure instead of tokens": sent(
        P.DOCUMENT_REFUSED, "tokens", lambda: PlainTextResponse("", 503)
    ),
    "more than a document of tokens": told(P.DOCUMENT_TOO_LARGE, "tokens", more="x" * 300_000),
    "keys behind a redirect to a private address": sent(
        P.REDIRECTED, "keys", lambda: RedirectResponse(METADATA_ADDRESS)
    ),
    "keys that are no list": told(P.DOCUMENT_MALFORMED, "keys", keys={"kid": KEY_ID}),
    "a key that is no object": told(P.DOCUMENT_MALFORMED, "keys", keys=[KEY_ID]),
    "too many keys": told(P.DOCUMENT_TOO_LARGE, "keys", keys=[{}] * 101),
    "no keys": told(P.KEY_UNKNOWN, "keys", keys=[]),
    "a key for encryption": Lie(P.KEY_UNFIT, provider=publish(lambda it: {**it, "use": "enc"})),
    "a key for another algorithm": Lie(
        P.KEY_UNFIT, provider=publish(lambda it: {**it, "alg": "PS256"})
    ),
    "a secret as a key": Lie(
        P.KEY_UNFIT, provider=publish(lambda _: {"kty": "oct", "kid": KEY_ID, "k": "c2VjcmV0"})
    ),
    "two keys of one name": Lie(P.KEY_UNFIT, provider=publish(lambda it: it, lambda it: it)),
    "a weak key": Lie(P.KEY_UNFIT, provider=publish(lambda it: {**it, "n": it["n"][:170]})),
    "a key without a number": Lie(P.KEY_UNFIT, provider=publish(without("n"))),
    "a key whose number is none": Lie(P.KEY_UNFIT, provider=publish(lambda it: {**it, "n": [1]})),
}

OF_CONFIGURATIONS = {
    "the configuration of another issuer": told(
        P.METADATA_ISSUER_WRONG, "metadata", issuer="https://evil.test"
    ),
    "a configuration without issuer": Lie(P.METADATA_ISSUER_WRONG, {"metadata": without("issuer")}),
    "an issuer for all tenants": told(
        P.METADATA_ISSUER_WRONG, "metadata", issuer="https://login.example.com/{tenantid}/v2.0"
    ),
    "no endpoint for tokens": Lie(P.ENDPOINT_MISSING, {"metadata": without("token_endpoint")}),
    "an endpoint that is no text": told(P.ENDPOINT_MISSING, "metadata", jwks_uri=["https://a.b"]),
    "an endpoint with a password": told(
        P.ADDRESS_REFUSED, "metadata", jwks_uri="https://u:p@keys.example.com/"
    ),
    "keys in a private network": told(P.ADDRESS_REFUSED, "metadata", jwks_uri="https://10.0.0.1/"),
    "keys where clouds keep secrets": told(
        P.ADDRESS_REFUSED, "metadata", jwks_uri=METADATA_ADDRESS
    ),
    "tokens from a file": told(P.ADDRESS_REFUSED, "metadata", token_endpoint="file:///etc/passwd"),
    "tokens without TLS": told(
        P.ADDRESS_REFUSED, "metadata", token_endpoint="http://93.184.215.14/token"
    ),
    "HMACs alone": told(
        P.ALGORITHMS_UNSUPPORTED,
        "metadata",
        id_token_signing_alg_values_supported=["HS256", "none"],
    ),
    "algorithms that are no list": told(
        P.DOCUMENT_MALFORMED, "metadata", id_token_signing_alg_values_supported="RS256"
    ),
    "a configuration behind a redirect": sent(
        P.REDIRECTED, "metadata", lambda: RedirectResponse(METADATA_ADDRESS)
    ),
    "a configuration that is a list": sent(P.DOCUMENT_MALFORMED, "metadata", lambda: nested(1)),
    "a configuration without ground": sent(
        P.DOCUMENT_MALFORMED, "metadata", lambda: nested(100_000)
    ),
    "a configuration with what is no number": sent(
        P.DOCUMENT_MALFORMED, "metadata", lambda: PlainTextResponse('{"x": NaN}')
    ),
    "a configuration that is too large": told(P.DOCUMENT_TOO_LARGE, "metadata", more="x" * 300_000),
    "a configuration that does not end": told(P.UNREACHABLE, "metadata", more="x" * 2_000_000),
    "no configuration": sent(P.DOCUMENT_REFUSED, "metadata", lambda: PlainTextResponse("", 404)),
}

OF_USERS = {
    "an address that is not verified": claims(P.EMAIL_NOT_VERIFIED, email_verified=False),
    "verified as text": claims(P.EMAIL_NOT_VERIFIED, email_verified="true"),
    "verified as a number": claims(P.EMAIL_NOT_VERIFIED, email_verified=1),
    "nothing about verifying": Lie(
        P.EMAIL_NOT_VERIFIED,
        {"claims": without("email_verified"), "userinfo": without("email_verified")},
    ),
    "another provider's word for it": Lie(
        P.EMAIL_NOT_VERIFIED,
        {
            "claims": lambda it: {**without("email_verified")(it), "xms_edov": True},
            "userinfo": without("email_verified"),
        },
    ),
    "no address": Lie(P.EMAIL_MISSING, {"claims": without("email"), "userinfo": without("email")}),
    "an address that is none": claims(P.EMAIL_MISSING, email="ada"),
    "two addresses in one": claims(P.EMAIL_MISSING, email="ada@acme.test,ada@evil.test"),
    "an address of another domain": claims(P.DOMAIN_NOT_PROVEN, email="ada@evil.test"),
    "an address of a domain below": claims(P.DOMAIN_NOT_PROVEN, email="ada@x.acme.test"),
    "an address of a domain that ends alike": claims(P.DOMAIN_NOT_PROVEN, email="ada@notacme.test"),
    "userinfo of another user": tells_email_by_userinfo(
        told(P.USERINFO_SUBJECT_WRONG, "userinfo", sub="u-2")
    ),
    "userinfo of nobody": tells_email_by_userinfo(
        Lie(P.USERINFO_SUBJECT_WRONG, {"userinfo": without("sub")})
    ),
    "userinfo that is no object": tells_email_by_userinfo(
        sent(P.DOCUMENT_MALFORMED, "userinfo", lambda: nested(1))
    ),
    "userinfo behind a redirect": tells_email_by_userinfo(
        sent(P.REDIRECTED, "userinfo", lambda: RedirectResponse(METADATA_ADDRESS))
    ),
    "a verified address beside another one": Lie(
        P.DOMAIN_NOT_PROVEN,
        {
            "claims": without("email_verified"),
            "userinfo": lambda it: {**it, "email": "ada@evil.test"},
        },
    ),
}

LIES = {
    **OF_BROWSERS,
    **OF_CLAIMS,
    **OF_TOKENS,
    **OF_ENDPOINTS,
    **OF_CONFIGURATIONS,
    **OF_USERS,
}
