"""Finds what looks like a secret in what Terraform writes down."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

NAMES = re.compile(r"password|passwd|secret_string|secret_binary|private_key|token$|pepper", re.I)
LOOKS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\w+://[^/\s:@\"]+:[^/\s@\"]+@"  # an URL with a password
    r"|(?<![0-9a-f:])[0-9a-f]{32,}(?![0-9a-f])"  # random bytes in digits, not a named digest
    r"|SCRAM-SHA-256\$"
)


def secrets_in(told: object, path: str = "") -> Iterator[str]:
    """Where they are."""
    if isinstance(told, Mapping):
        for name, value in told.items():
            if NAMES.search(name) and isinstance(value, str) and value:
                yield f"{path}.{name}"
            yield from secrets_in(value, f"{path}.{name}")
    elif isinstance(told, str):
        if LOOKS.search(told):
            yield path
    elif isinstance(told, Sequence):
        for index, value in enumerate(told):
            yield from secrets_in(value, f"{path}[{index}]")
