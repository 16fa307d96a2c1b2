"""Who may change how an account logs in."""

from __future__ import annotations

from tenancy.errors import PermissionDenied
from tenancy.roles import AccountRole, Principal, PrincipalKind


def require_owner(actor: Principal, action: str, target: str) -> None:
    """Raises PermissionDenied unless an owner is logged in.

    Who chooses the identity provider can be any user of the account, so an admin is not enough,
    and a key, which may have leaked, is not either.
    """
    if actor.kind is not PrincipalKind.USER or actor.account_role is not AccountRole.OWNER:
        raise PermissionDenied(action, target, "log in as an account owner")
