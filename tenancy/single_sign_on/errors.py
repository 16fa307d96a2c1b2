"""Why a log-in by single sign-on is refused: one reason for each way in which an answer can lie."""

from __future__ import annotations

from enum import StrEnum

from tenancy.errors import TenancyError


class SignOnProblem(StrEnum):
    """Each is a sentence for whoever logs in, and its name is for programs and the audit log."""

    # The browser's side.
    NOT_BEGUN = "no log-in was begun in this browser at this address; begin again"
    ATTEMPT_OVER = "this log-in was used already or took longer than 10 minutes; begin again"
    STATE_MISSING = "the answer does not say which log-in it belongs to; begin again"
    STATE_WRONG = "the answer belongs to another log-in, perhaps of another browser; begin again"
    WRONG_ACCOUNT = "the answer came to the redirect URI of another account; begin again"
    SETTINGS_CHANGED = "the settings of single sign-on have changed meanwhile; begin again"

    # What the provider said of the log-in.
    PROVIDER_ERROR = "the identity provider refused the log-in"
    CODE_MISSING = "the identity provider sent no code"
    ANSWER_ISSUER_MISSING = "the answer names no issuer, although the provider promises one"
    ANSWER_ISSUER_WRONG = "the answer comes from another identity provider"

    # Asking the provider.
    ADDRESS_REFUSED = "an address of the identity provider is not a public https address"
    UNREACHABLE = "the identity provider cannot be reached or gives no usable answer; try again"
    REDIRECTED = "the identity provider answers with a redirect, which is not followed"
    DOCUMENT_REFUSED = "the identity provider answers with an error instead of a document"
    DOCUMENT_TOO_LARGE = "a document of the identity provider has more than 256 KiB"
    DOCUMENT_MALFORMED = "a document of the identity provider is not what it should be"
    METADATA_ISSUER_WRONG = "the provider's configuration names another issuer"
    ENDPOINT_MISSING = "the provider's configuration lacks an endpoint"
    ALGORITHMS_UNSUPPORTED = "the provider signs with none of RS, PS or ES"

    # Exchanging the code.
    CODE_REFUSED = "the identity provider does not accept its code, which works once; begin again"
    CLIENT_REFUSED = "the identity provider does not accept the client id or secret"
    TOKEN_TYPE_WRONG = "the identity provider sent a token that is no bearer token"  # noqa: S105
    ID_TOKEN_MISSING = "the identity provider sent no ID token"  # noqa: S105

    # The ID token.
    ID_TOKEN_MALFORMED = "the ID token is no signed JWT"  # noqa: S105
    ALGORITHM_REFUSED = "the ID token is signed by an algorithm that is not allowed"
    KEY_UNKNOWN = "the ID token is signed by a key that the provider does not publish"
    KEY_UNFIT = "the ID token's key is too weak, or of another kind than its signature"
    SIGNATURE_WRONG = "the ID token's signature is wrong"
    ISSUER_WRONG = "the ID token is from another issuer"
    AUDIENCE_WRONG = "the ID token is for another application"
    AUTHORIZED_PARTY_WRONG = "the ID token was given to another application"
    TIME_MISSING = "the ID token does not say when it was issued and when it expires"
    EXPIRED = "the ID token has expired"
    NOT_YET_VALID = "the ID token is not valid yet"
    ISSUED_IN_FUTURE = "the ID token was issued in the future; a clock is wrong"
    NONCE_MISSING = "the ID token does not say which log-in it belongs to"
    NONCE_WRONG = "the ID token belongs to another log-in"
    SUBJECT_MISSING = "the ID token does not say whom it is about"
    ACCESS_TOKEN_WRONG = "the access token does not belong to the ID token"  # noqa: S105
    USERINFO_SUBJECT_WRONG = "the provider tells of another user than the ID token's"

    # Letting the user in.
    EMAIL_MISSING = "the identity provider tells no e-mail address; send it by the scope email"
    EMAIL_NOT_VERIFIED = "the identity provider does not say that the e-mail address is verified"
    DOMAIN_NOT_PROVEN = "the account has not proven that it owns the domain of the e-mail address"
    USER_ELSEWHERE = "a user of another account has this e-mail address; remove that user first"
    SUBJECT_CHANGED = (
        "the user with this e-mail address is another one at the identity provider; an owner of the"
        " account can remove the old user"
    )


class SignOnRefused(TenancyError):
    """`detail` is of our own making."""

    def __init__(self, problem: SignOnProblem, detail: str = "") -> None:
        super().__init__(f"{problem.value} ({detail})" if detail else problem.value)
        self.problem = problem
