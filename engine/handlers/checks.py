"""What requests may hold. Every refusal names the field, the limit and the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from engine.errors import InvalidArgument
from engine.history import durations
from engine.limits import ID_BYTES_MAX, MEMO_BYTES_MAX, PAYLOAD_BYTES_MAX

RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def identifier(field: str, value: str, *, required: bool = True) -> None:
    """Raises InvalidArgument for a missing or too long id."""
    if required and not value:
        raise InvalidArgument(f"{field} is required", field)
    if len(value) * 4 > ID_BYTES_MAX and len(value.encode()) > ID_BYTES_MAX:
        raise InvalidArgument(
            f"{field} has more than {ID_BYTES_MAX} bytes; choose a shorter one", field
        )


def run_id(field: str, value: str) -> None:
    """Empty, or as this service makes run ids."""
    if value and not RUN_ID.fullmatch(value):
        raise InvalidArgument(f"{field} is not a run id; leave it empty for the current run", field)


def duration(field: str, value: Duration) -> None:
    """Neither negative nor beyond what a wake-up can hold."""
    if problem := durations.problem(value):
        raise InvalidArgument(f"{field} {problem}", field)


def size(field: str, value: Message, bytes_max: int = PAYLOAD_BYTES_MAX) -> None:
    """Raises InvalidArgument where the field's encoding is too large."""
    if value.ByteSize() > bytes_max:
        raise InvalidArgument(
            f"{field} has more than {bytes_max} bytes; store large data elsewhere and pass its"
            " name",
            field,
        )


def memo(value: Message) -> None:
    size("memo", value, MEMO_BYTES_MAX)


def none_of(fields: Iterable[tuple[str, bool]]) -> None:
    """Raises InvalidArgument for the first field that is set: nothing would honour it."""
    for field, is_set in fields:
        if is_set:
            raise InvalidArgument(f"{field} is not offered by this cell; leave it out", field)
