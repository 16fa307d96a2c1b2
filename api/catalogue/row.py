"""What the catalogue says of one RPC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tenancy import Access, Principal, PrincipalKind

CALL_SECONDS = 30.0
POLL_SECONDS = 60.0
"""How long a caller waits who does not say; it is also the most that anyone may ask for."""


class Scope(StrEnum):
    """What a call is about, and so where its permission is looked up."""

    NAMESPACE = "namespace"
    ACCOUNT = "account"
    SYSTEM = "system"


class Plane(StrEnum):
    """Who answers a call."""

    CELL = "cell"
    CONTROL = "control"
    NONE = "none"


class Audited(StrEnum):
    """Whose acts are recorded. Denials always are.

    What programs do all the time is in the histories, with who did it; what a person does is an
    exception that somebody may ask for.
    """

    NOBODY = "nobody"
    PEOPLE = "people"
    EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True)
class Row:
    """The policy of one RPC.

    Any one of `access` suffices; an empty `access` lets nobody in, unless the call `is_open`: then
    whoever is authenticated reaches the handler, which checks the single resource.
    `timeout_seconds` holds for callers who give none. An audited call is answered when its record
    is durable. A call that `starts_work` may begin a run: it is told where none may be begun.
    """

    scope: Scope
    plane: Plane
    access: tuple[Access, ...]
    is_open: bool = False
    audited: Audited = Audited.NOBODY
    timeout_seconds: float = CALL_SECONDS
    starts_work: bool = False

    def is_audited(self, caller: Principal) -> bool:
        if self.audited is Audited.PEOPLE:
            return caller.kind is PrincipalKind.USER
        return self.audited is Audited.EVERYBODY


def cell(
    *access: Access,
    audited: Audited = Audited.NOBODY,
    timeout_seconds: float = CALL_SECONDS,
    starts_work: bool = False,
) -> Row:
    """Answered by the namespace's cell."""
    return Row(
        Scope.NAMESPACE,
        Plane.CELL,
        access,
        audited=audited,
        timeout_seconds=timeout_seconds,
        starts_work=starts_work,
    )


def system(*access: Access) -> Row:
    """About the cloud itself, answered by a cell without a namespace."""
    return Row(Scope.SYSTEM, Plane.CELL, access)


def control(*access: Access) -> Row:
    """Answered by the control plane, which audits what it changes."""
    return Row(Scope.ACCOUNT, Plane.CONTROL, access)


def control_by_resource() -> Row:
    """As `control`, for calls about one resource: a scoped key may have access to that alone."""
    return Row(Scope.ACCOUNT, Plane.CONTROL, (), is_open=True)


def not_served(scope: Scope = Scope.NAMESPACE) -> Row:
    """Published but not offered here; nobody needs, or has, access to it."""
    return Row(scope, Plane.NONE, ())
