"""Payloads as a reader sees them. What the cloud cannot read, it names and does not show."""

from __future__ import annotations

import json
from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from web.cloud import Answer

TEXT_CHARACTERS_MAX = 20_000
CAUSES_MAX = 20
ENVELOPES = ("activity", "childWorkflowExecution")
JSON_ENCODINGS = ("json/plain", "json/protobuf")


@dataclass(frozen=True, slots=True)
class PayloadView:
    """`text` is empty for what cannot be read; `encoding` then says what it is."""

    encoding: str
    size_bytes: int
    text: str = ""
    is_encrypted: bool = False
    is_cut: bool = False
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class FailureView:
    """One failure; its causes follow it in a list."""

    kind: str
    message: str
    stack_trace: str
    is_encrypted: bool


def payload_view(value: Any) -> PayloadView:
    """A payload with its metadata, or a value that came as plain JSON."""
    if not is_payload(value):
        return _readable("json/plain", json.dumps(value).encode())
    metadata = value.get("metadata") or {}
    encoding = _bytes(metadata.get("encoding", "")).decode(errors="replace")
    data = _bytes(value.get("data", ""))
    if encoding == "binary/null":
        return PayloadView(encoding, 0, "null")
    if encoding in JSON_ENCODINGS:
        return _readable(encoding, data)
    key_id = _bytes(metadata.get("encryption-key-id", "")).decode(errors="replace")
    return PayloadView(
        encoding or "unknown", len(data), is_encrypted="encrypted" in encoding, key_id=key_id
    )


def payload_views(payloads: Any) -> list[PayloadView]:
    """Of a `Payloads` message, with or without the short form."""
    if payloads is None:
        return []
    if isinstance(payloads, dict) and isinstance(payloads.get("payloads"), list):
        payloads = payloads["payloads"]
    return [payload_view(each) for each in (payloads if isinstance(payloads, list) else [payloads])]


def is_payload(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("metadata"), dict)
        and "encoding" in value["metadata"]
        and value.keys() <= {"metadata", "data", "externalPayloads"}
    )


def plain_value(value: Any) -> Any:
    """What a JSON payload says, or None."""
    view = payload_view(value)
    try:
        return json.loads(view.text) if view.text else None
    except ValueError:
        return None


def failure_views(failure: Answer | None) -> list[FailureView]:
    """A failure and its causes, the outermost first."""
    return list(_failures(failure))


def telling(failures: Sequence[FailureView]) -> FailureView:
    """The first of a chain that is more than the envelope of its cause."""
    return next((each for each in failures if each.kind not in ENVELOPES), failures[-1])


def _failures(failure: Answer | None) -> Iterator[FailureView]:
    for _ in range(CAUSES_MAX):
        if not failure:
            return
        details = failure.get("applicationFailureInfo") or {}
        others = (name for name in failure if name.endswith("FailureInfo"))
        kind = details.get("type") or next(others, "failure").removesuffix("FailureInfo")
        yield FailureView(
            kind=kind,
            message=failure.get("message", ""),
            stack_trace=failure.get("stackTrace", ""),
            is_encrypted="encodedAttributes" in failure,
        )
        failure = failure.get("cause")


def _readable(encoding: str, data: bytes) -> PayloadView:
    try:
        text = json.dumps(json.loads(data), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = data.decode(errors="replace")
    is_cut = len(text) > TEXT_CHARACTERS_MAX
    return PayloadView(encoding, len(data), text[:TEXT_CHARACTERS_MAX], is_cut=is_cut)


def _bytes(text: object) -> bytes:
    try:
        return b64decode(str(text))
    except (NoBase64, ValueError):
        return b""


def texts(views: Iterable[PayloadView]) -> str:
    """All payloads on one line, for a summary."""
    return ", ".join(map(_text, views))


def _text(view: PayloadView) -> str:
    return " ".join(view.text.split()) or ("encrypted" if view.is_encrypted else view.encoding)
