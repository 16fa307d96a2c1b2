"""The steps of a closing in a second process of a running installation: this one."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from api.installation import Installation, Secrets
from api.payments import Payments, stand_in_settings
from tenancy import ControlPlane, Database, Passwords

ADDRESS = "http://cloud.test"


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def payments_beside(data: Path) -> AsyncIterator[tuple[Payments, Database]]:
    """Of an installation whose control plane is in SQLite, with the stand-in for Stripe."""
    held = installation_of(data)
    database = Database(held.database_url)
    passwords = Passwords(token_bytes=os.urandom)
    control = ControlPlane(
        database, now=now, token_bytes=os.urandom, pepper=held.secrets.pepper, passwords=passwords
    )
    payments = Payments(
        control,
        database,
        held,
        None,
        now=now,
        token_bytes=os.urandom,
        console_address=ADDRESS,
    )
    yield payments, database
    await payments.aclose()
    await database.aclose()
    passwords.close()


async def invoice_of_nothing(data: Path, account_id: str) -> str:
    """The id of an invoice of the account; the same one each time."""
    async with payments_beside(data) as (payments, _):
        return await payments.closing.close_account(account_id, "2026-01")


def signature_of(data: Path, body: bytes) -> str:
    """As the stand-in signs its events."""
    (secret,) = stand_in_settings(installation_of(data)).webhook_secrets
    at = int(now().timestamp())
    digest = hmac.digest(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={digest.hex()}"


def installation_of(data: Path) -> Installation:
    told = json.loads((data / "secrets.json").read_bytes())
    secrets = Secrets(bytes.fromhex(told["pepper"]), sealing_keys={}, sealing_key_active=1)
    return Installation(data, secrets)
