"""The id of the request that is being answered: its caller is told it, and so is every log line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from itertools import count
from secrets import token_hex

REQUEST_ID_HEADER = b"x-request-id"
REQUEST_ID_CHARACTERS_MAX = 128

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Empty outside requests."""

_ACCEPTED = re.compile(rb"[\x21-\x7e]{1,%d}" % REQUEST_ID_CHARACTERS_MAX)


class RequestIds:
    """Names requests: by the caller's own id, or by a new one that no other process gives."""

    def __init__(self) -> None:
        self._prefix = token_hex(6).encode()
        self._numbers = count(1)

    def of(self, headers: Mapping[bytes, bytes]) -> bytes:
        given = headers.get(REQUEST_ID_HEADER)
        if given is not None and _ACCEPTED.fullmatch(given):
            return given
        return b"%s-%x" % (self._prefix, next(self._numbers))
