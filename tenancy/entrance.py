"""The way in: what signing up and logging in stand on, put together once."""

from __future__ import annotations

from dataclasses import dataclass

from tenancy.audit import AuditLog
from tenancy.database import Database
from tenancy.login_limits import LoginLimits
from tenancy.mail import Outbox
from tenancy.passwords import Passwords
from tenancy.randomness import Now, TokenBytes


@dataclass(frozen=True, slots=True)
class Entrance:
    """Who enters owns short transactions of `database`, so that hashing holds none.

    `console_address` is what links in letters begin with: never what a request says of itself.
    """

    database: Database
    now: Now
    token_bytes: TokenBytes
    passwords: Passwords
    limits: LoginLimits
    audit: AuditLog
    outbox: Outbox
    console_address: str
