"""Logs on standard error: JSON lines, or short lines where a person watches.

Only listed fields leave the process, so that no payload, key or e-mail does by accident.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from api.request_id import REQUEST_ID

FIELDS = (
    "attempt",
    "cell_id",
    "epoch",
    "error",
    "event_id",
    "full",
    "key_id",
    "kind",
    "letter",
    "method",
    "namespace_id",
    "namespace_ids",
    "node",
    "object_id",
    "operation_id",
    "part",
    "revoked",
    "run_id",
    "sequence",
    "shard_id",
    "shard_ids",
    "status",
    "task",
    "why",
)
QUIET_LOGGERS = (
    *("uvicorn", "httpx", "httpcore", "stripe", "aiosqlite", "asyncio", "alembic"),
    "perdure",  # The client library, by which the cloud's own worker asks the cloud.
)
"""Libraries' loggers, which tell of every step at INFO."""


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "at": _at(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            **_fields(record),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


class ShortLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{_at(record):%H:%M:%S} {record.levelname.lower():7} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up_logs(*, is_quiet: bool, stream: TextIO | None = None) -> None:
    stream = sys.stderr if stream is None else stream
    lines = logging.StreamHandler(stream)
    lines.setFormatter(ShortLines() if stream.isatty() else JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [lines]
    root.setLevel(logging.WARNING if is_quiet else logging.INFO)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def _at(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What the line tells besides its event; a handler formats it where the event took place."""
    told = {name: vars(record)[name] for name in FIELDS if name in vars(record)}
    if request_id := REQUEST_ID.get():
        told["request_id"] = request_id
    return told
