"""Fields that many messages of CloudService have."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from tenancy import InvalidField

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1_000

Item = TypeVar("Item")


def not_offered(field: str) -> InvalidField:
    """For what nothing here would honour: accepting it would be a lie."""
    return InvalidField(field, "is not offered by this cloud", "leave it out")


def timestamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    told = Timestamp()
    told.FromDatetime(at)
    return told


def time_of(told: Timestamp, field: str) -> datetime:
    try:
        return told.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidField(field, "is no time from year 1 to 9999", "correct it") from None


def resource_version_of(text: str) -> int:
    """The version that the caller read; without it a change could undo another's."""
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(2**31)):
        raise InvalidField(
            "resource_version",
            "is missing or malformed",
            "read the resource and send its resource_version",
        )
    return int(text)


def page(
    items: Sequence[Item], key: Callable[[Item], str], size: int, token: str
) -> tuple[list[Item], str]:
    """The items of one page and the token of the next; items are put in the order of `key`.

    A token tells the last key of its page, so that what comes and goes moves nothing else.
    """
    if not 0 <= size <= PAGE_SIZE_MAX:
        raise InvalidField(
            "page_size", f"must be 1 to {PAGE_SIZE_MAX}", f"leave it out for {PAGE_SIZE_DEFAULT}"
        )
    size = size or PAGE_SIZE_DEFAULT
    after = _key_of(token)
    ordered = sorted(items, key=key)
    left = [item for item in ordered if after is None or key(item) > after]
    if len(left) <= size:
        return left, ""
    return left[:size], base64.urlsafe_b64encode(key(left[size - 1]).encode()).decode()


def _key_of(token: str) -> str | None:
    if not token:
        return None
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidField(
            "page_token", "is none that this cloud gave out", "send next_page_token as it was"
        ) from None
