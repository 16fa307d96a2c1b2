"""Fields that many messages of CloudService have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from google.protobuf.descriptor import Descriptor
from google.protobuf.timestamp_pb2 import Timestamp

from api.cloud.services import Services
from tenancy import InvalidField, Principal

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1_000

Item = TypeVar("Item")


class PagedRequest(Protocol):
    """A request for one page of a list."""

    page_size: int
    page_token: str

    @property
    def DESCRIPTOR(self) -> Descriptor: ...


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
    services: Services,
    caller: Principal,
    request: PagedRequest,
    items: Sequence[Item],
    key: Callable[[Item], str],
) -> tuple[list[Item], str]:
    """The items of one page and the token of the next; items are put in the order of `key`.

    A token tells the last key of its page, so that what comes and goes moves nothing else.
    """
    size = request.page_size
    if not 0 <= size <= PAGE_SIZE_MAX:
        raise InvalidField(
            "page_size", f"must be 1 to {PAGE_SIZE_MAX}", f"leave it out for {PAGE_SIZE_DEFAULT}"
        )
    size = size or PAGE_SIZE_DEFAULT
    tokens = services.control.page_tokens.of(caller.account_id, request.DESCRIPTOR.name)
    after = tokens.open(request.page_token, "page_token")
    ordered = sorted(items, key=key)
    left = [item for item in ordered if after is None or key(item) > after]
    if len(left) <= size:
        return left, ""
    return left[:size], tokens.seal(key(left[size - 1]))
