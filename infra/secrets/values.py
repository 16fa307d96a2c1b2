"""The values of an installation's secrets, made of nothing but chance."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets

SECRET_BYTES = 32
SALT_BYTES = 16
ITERATIONS = 4_096
"""What PostgreSQL itself takes. A password of 32 random bytes needs no more."""

AUTHORITIES = "/etc/perdure/rds.pem"
"""Where the image has the authorities of Aurora's certificates."""

PORT = 5432


def installation_secrets() -> str:
    """The content of secrets.json of a data directory."""
    told = {
        "pepper": secrets.token_hex(SECRET_BYTES),
        "sealing_keys": {"1": secrets.token_hex(SECRET_BYTES)},
        "sealing_key_active": 1,
    }
    return json.dumps(told)


def store_url(role: str, address: str, database: str) -> tuple[str, str]:
    """A new password, and the URL that has it."""
    password = secrets.token_hex(SECRET_BYTES)
    options = f"sslmode=verify-full&sslrootcert={AUTHORITIES}"
    return password, f"postgresql://{role}:{password}@{address}:{PORT}/{database}?{options}"


def verifier(password: str) -> str:
    """What PostgreSQL keeps of a password, so that the statement that sets it does not tell it."""
    salt = secrets.token_bytes(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    stored = hashlib.sha256(client).digest()
    parts = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(ITERATIONS, *parts)


def role_statements(role: str, database: str, password: str) -> tuple[str, ...]:
    """Make the role if it is not there, and let it make its schemas. They can be repeated."""
    return (
        f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        f"ALTER ROLE {role} PASSWORD '{password}'",
        f"GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {database} TO {role}",
    )
