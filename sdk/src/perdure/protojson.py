"""The proto3 JSON forms of times, durations, names and lists that messages are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

Message = dict[str, Any]


def duration_text(value: timedelta) -> str:
    """The wire form of a duration, e.g. ``1.500000s``."""
    micros = value // timedelta(microseconds=1)
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    whole, fraction = divmod(micros, 1_000_000)
    return f"{sign}{whole}.{fraction:06d}s" if fraction else f"{sign}{whole}s"


def parse_duration(text: str | None) -> timedelta | None:
    """The duration of a wire text such as ``1.5s``; None when the field is unset."""
    return timedelta(seconds=float(text.removesuffix("s"))) if text else None


def parse_time(text: str | None) -> datetime | None:
    """The aware UTC time of an RFC 3339 text, cut to microseconds; None when unset."""
    if not text:
        return None
    head, _, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.fromisoformat(head).replace(tzinfo=UTC)
    return moment + timedelta(microseconds=int(fraction[:6].ljust(6, "0"))) if fraction else moment


def set_duration(message: Message, field: str, value: timedelta | None) -> None:
    """Write a duration field, leaving it out when the caller gave none."""
    if value is not None:
        message[field] = duration_text(value)


def pruned(**fields: Any) -> Message:
    """A message of the given fields without those that are None."""
    return {name: value for name, value in fields.items() if value is not None}


def number(message: Message, field: str) -> int:
    """An integer field; 64-bit integers travel as text and zero is left out."""
    return int(message.get(field) or 0)
