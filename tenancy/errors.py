"""What tenancy refuses, as one tree.

TenancyError
├── InvalidField           a value breaks a named limit
├── NotFound               unknown, or it belongs to another account: the same text on purpose
├── AlreadyExists          the name is taken
├── Conflict               the record changed since it was read
├── WrongState             the record's state does not allow the act
├── LimitReached           a counted limit is used up
├── PermissionDenied       known caller, missing right
├── Unauthenticated        no usable credential
├── RateLimited            too many attempts
├── StartsRestricted       no new workflow may be started, for a reason that has to do with money
├── AddressRefused         an URL of a tenant's leads where we do not go
├── NoAnswer               a server of a tenant's, or a record, cannot be reached or breaks a limit
├── ProvisioningRefused    a cell will never accept this namespace
├── ChainBroken            an audit record was changed, removed or added
├── SnapshotRejected       a snapshot, kept or sent, is forged, damaged or too old
├── SnapshotTooOld         a door has heard of no revocation for too long
├── SealBroken             a sealed secret was changed, moved, or is another installation's
├── DatabaseUnavailable    it cannot be reached or is too busy; what was asked may have been done
└── SchemaTooNew           a later release has changed the tables
"""

from __future__ import annotations

from enum import StrEnum


class TenancyError(Exception):
    """Any refusal by tenancy; its text is fit for the caller to read."""


class InvalidField(TenancyError):
    def __init__(self, field: str, limit: str, remedy: str) -> None:
        super().__init__(f"{field}: {limit}; {remedy}")
        self.field = field
        self.limit = limit
        self.remedy = remedy


class NotFound(TenancyError):
    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"{kind} {id!r} was not found")
        self.kind = kind
        self.id = id


class AlreadyExists(TenancyError):
    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"{kind} {id!r} already exists; choose another")
        self.kind = kind
        self.id = id


class Conflict(TenancyError):
    def __init__(self, kind: str, id: str, resource_version: int) -> None:
        super().__init__(
            f"{kind} {id!r} is at resource_version {resource_version}; read it again and retry"
        )
        self.kind = kind
        self.id = id
        self.resource_version = resource_version


class WrongState(TenancyError):
    def __init__(
        self, kind: str, id: str, state: str, remedy: str = "wait until that has ended and retry"
    ) -> None:
        super().__init__(f"{kind} {id!r} is {state}; {remedy}")
        self.kind = kind
        self.id = id
        self.state = state


class LimitReached(TenancyError):
    def __init__(self, what: str, limit: int, remedy: str) -> None:
        super().__init__(f"{what}: at most {limit}; {remedy}")
        self.what = what
        self.limit = limit


class PermissionDenied(TenancyError):
    def __init__(self, action: str, target: str, remedy: str) -> None:
        super().__init__(f"{action} is not permitted on {target!r}; {remedy}")
        self.action = action
        self.target = target


class UnauthenticatedReason(StrEnum):
    """Why a credential was refused. A revoked key reads as an unknown one, on purpose."""

    MALFORMED_KEY = "the API key is malformed; copy it again from where it was shown"
    UNKNOWN_KEY = "the API key is unknown or was revoked; create a new one"
    EXPIRED_KEY = "the API key has expired; create a new one"
    BAD_CREDENTIALS = "the e-mail or the password is wrong"
    NO_SESSION = "the session has ended; log in again"
    SECOND_STEP = "you have a login with a second factor; log in with it"
    BAD_CODE = "the code is wrong, or was used already; wait for the next one"
    SECOND_FACTOR_MISSING = (
        "this account asks everybody for a second factor; log in to the console and set yours up"
    )
    UNTRUSTED_CERTIFICATE = (
        "the client certificate has expired, is not X.509 v3 for clients, or leads to no CA of this"
        " namespace; present one that a CA of the namespace issued, with its intermediates"
    )
    UNWANTED_CERTIFICATE = (
        "the client certificate matches no certificate filter of this namespace; present another"
    )
    DENIED_CERTIFICATE = "the client certificate was denied in this namespace; present another"
    REVOKED_CERTIFICATE = "the client certificate was revoked by its CA; present another"
    SINGLE_SIGN_ON = (
        "your account logs in by single sign-on; on the log-in page, give your e-mail address and"
        " choose Continue with single sign-on"
    )
    FOREIGN_PAGE = "the request does not come from a page of this session; reload the page"


class Unauthenticated(TenancyError):
    def __init__(self, reason: UnauthenticatedReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class RateLimited(TenancyError):
    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"too many attempts; retry after {retry_after_seconds} seconds")
        self.retry_after_seconds = retry_after_seconds


class StartsRestricted(TenancyError):
    """What runs goes on. `why` names the budget or the invoice, and the remedy."""

    def __init__(self, namespace: str, cause: str, why: str) -> None:
        super().__init__(
            f"no new workflow is started in {namespace!r}: {why}; what is running goes on"
        )
        self.namespace = namespace
        self.cause = cause
        self.why = why


class AddressRefused(TenancyError):
    def __init__(self, why: str) -> None:
        super().__init__(f"the URL is refused: {why}; give a public https URL")
        self.why = why


class NoAnswer(TenancyError):
    def __init__(self, why: str) -> None:
        super().__init__(f"the server of that URL gave no usable answer: {why}")
        self.why = why


class ProvisioningRefused(TenancyError):
    """Raised by a Provisioner when trying again can never succeed."""


class ChainBroken(TenancyError):
    def __init__(self, account_id: str, sequence: int) -> None:
        super().__init__(f"audit chain of account {account_id!r} breaks at record {sequence}")
        self.account_id = account_id
        self.sequence = sequence


class SnapshotRejected(TenancyError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"the persisted snapshot is {reason}; connect to the control plane")
        self.reason = reason


class SnapshotTooOld(TenancyError):
    """This door has heard nothing of keys and certificates for a day, so it trusts none: retry."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


class SealBroken(TenancyError):
    def __init__(self) -> None:
        super().__init__("a sealed secret cannot be opened; restore the installation's secrets")


class DatabaseUnavailable(TenancyError):
    def __init__(self) -> None:
        super().__init__("the control plane's database cannot be reached or is too busy; retry")


class SchemaTooNew(TenancyError):
    def __init__(self, revision: str) -> None:
        super().__init__(
            f"the control plane's tables are those of a later release (revision {revision!r}): "
            "start the release that made them, or a later one"
        )
        self.revision = revision
