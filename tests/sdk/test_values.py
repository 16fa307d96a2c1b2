"""Values as payloads and back, in clear and encrypted."""

from __future__ import annotations

import json
from base64 import b64decode
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from perdure.codec import ChainCodec, PayloadCodec
from perdure.converter import DataConverter, JsonPayloadConverter, RawValue
from perdure.encryption import AesGcmCodec
from perdure.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ConversionError,
    DecryptionError,
    RetryState,
    TimeoutError,
    TimeoutType,
)
from perdure.failure import from_failure, to_failure
from perdure.protojson import Message, duration_text, parse_duration, parse_time

CANARY = "canary-of-clear-text"
KEY, NEW_KEY = bytes(range(32)), bytes(range(32, 64))


class Color(Enum):
    RED = "red"


@dataclass
class Line:
    sku: str
    count: int = 1


@dataclass
class Basket:
    lines: list[Line]
    color: Color
    at: datetime
    id: UUID
    wait: timedelta
    note: str | None = None
    tags: set[str] = field(default_factory=set)
    pairs: tuple[int, str] = (0, "")
    prices: dict[int, float] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (None, None),
        (b"\x00\xff", bytes),
        ({"a": [1, 2.5, "x", None, True]}, Any),
        (datetime(2026, 1, 31, tzinfo=UTC), datetime),
        (
            Basket(
                [Line("a"), Line("b", 2)],
                Color.RED,
                datetime(2026, 1, 31, 1, 2, 3, 4, UTC),
                UUID(int=7),
                timedelta(seconds=1.5),
                tags={"x", "y"},
                pairs=(1, "z"),
                prices={3: 1.0},
            ),
            Basket,
        ),
    ],
)
def test_a_value_comes_back_as_its_type(value: Any, hint: Any) -> None:
    converter = JsonPayloadConverter()
    payload = json.loads(json.dumps(converter.to_payload(value)))
    assert converter.from_payload(payload, hint) == value


def test_none_and_bytes_have_encodings_of_their_own() -> None:
    converter = JsonPayloadConverter()
    encodings = [
        b64decode(converter.to_payload(value)["metadata"]["encoding"]).decode()
        for value in (None, b"x", "x")
    ]
    assert encodings == ["binary/null", "binary/plain", "json/plain"]


@pytest.mark.parametrize(
    ("value", "hint"), [("text", int), ({"sku": 1}, Line), ([1], dict), (True, int)]
)
def test_a_value_of_another_type_is_refused(value: Any, hint: Any) -> None:
    converter = JsonPayloadConverter()
    with pytest.raises(ConversionError):
        converter.from_payload(converter.to_payload(value), hint)


def test_a_value_without_a_json_form_is_refused_by_name() -> None:
    with pytest.raises(ConversionError, match="object"):
        JsonPayloadConverter().to_payload({"x": object()})


def test_unknown_fields_of_a_newer_sender_are_dropped() -> None:
    converter = JsonPayloadConverter()
    payload = converter.to_payload({"sku": "a", "color": "new"})
    assert converter.from_payload(payload, Line) == Line("a")


def test_times_and_durations_have_their_proto_forms() -> None:
    assert duration_text(timedelta(days=1, microseconds=1)) == "86400.000001s"
    assert duration_text(timedelta(seconds=-1.5)) == "-1.500000s"
    assert parse_duration("1.5s") == timedelta(seconds=1.5)
    assert parse_time("2026-01-31T01:02:03.123456789Z") == datetime(
        2026, 1, 31, 1, 2, 3, 123456, UTC
    )


def errors() -> list[Exception]:
    outer = ActivityError(
        "Activity task failed",
        activity_type="charge",
        activity_id="7",
        scheduled_event_id=5,
        retry_state=RetryState.TIMEOUT,
    )
    outer.__cause__ = ApplicationError(
        CANARY, {"secret": CANARY}, type="Declined", next_retry_delay=timedelta(seconds=3)
    )
    return [
        outer,
        CancelledError("Cancelled", 1),
        TimeoutError("late", type=TimeoutType.HEARTBEAT, last_heartbeat_details=[3]),
    ]


@pytest.mark.parametrize("codec", [None, AesGcmCodec({"k": KEY}, "k")])
async def test_errors_come_back_with_their_causes_and_details(codec: PayloadCodec | None) -> None:
    converter = DataConverter(codec=codec)
    for error in errors():
        sent = await converter.encode(to_failure(error, converter))
        failure = await converter.decode(json.loads(json.dumps(sent)))
        again = from_failure(failure, converter)
        assert type(again) is type(error)
        assert str(again) == str(error)
        if isinstance(again, ActivityError):
            assert isinstance(again.cause, ApplicationError)
            assert again.cause.details == ({"secret": CANARY},)
            assert again.cause.next_retry_delay == timedelta(seconds=3)


async def test_with_a_codec_neither_messages_nor_stack_traces_leave_in_clear() -> None:
    converter = DataConverter(codec=AesGcmCodec({"k": KEY}, "k"))
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        sent = await converter.encode(to_failure(error, converter))
    text = json.dumps(sent)
    assert CANARY not in text
    assert "test_values" not in text
    assert sent["message"] == "Encoded failure"
    failure = from_failure(await converter.decode(sent), converter)
    assert failure.message == CANARY
    assert "test_values" in failure.stack_trace


def memo(converter: DataConverter, **fields: Any) -> Message:
    return {"memo": {"fields": converter.payload_converter.to_payload_map(fields)}}


async def test_keys_rotate_without_losing_what_the_old_one_sealed() -> None:
    old = DataConverter(codec=AesGcmCodec({"old": KEY}, "old"))
    both = DataConverter(codec=AesGcmCodec({"old": KEY, "new": NEW_KEY}, "new"))
    new = DataConverter(codec=AesGcmCodec({"new": NEW_KEY}, "new"))
    clear = memo(old, note=CANARY)
    sealed_old, sealed_new = await old.encode(clear), await both.encode(clear)
    assert await both.decode(deepcopy(sealed_old)) == clear
    assert await new.decode(sealed_new) == clear
    with pytest.raises(DecryptionError, match="no key with id b'old'"):
        await new.decode(sealed_old)


async def test_a_changed_ciphertext_or_key_id_is_noticed() -> None:
    codec = AesGcmCodec({"a": KEY, "b": KEY}, "a")
    (sealed,) = await codec.encode([JsonPayloadConverter().to_payload(CANARY)])
    renamed = deepcopy(sealed)
    renamed["metadata"]["encryption-key-id"] = "Yg=="
    with pytest.raises(DecryptionError):
        await codec.decode([renamed])
    changed = deepcopy(sealed)
    changed["data"] = changed["data"][:-8] + "AAAAAAA="
    with pytest.raises(DecryptionError):
        await codec.decode([changed])


async def test_equal_values_are_sealed_differently() -> None:
    codec = AesGcmCodec({"a": KEY}, "a")
    payload = JsonPayloadConverter().to_payload(CANARY)
    first, second = await codec.encode([payload, payload])
    assert first != second


def test_a_key_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="has 16 bytes, needs 32"):
        AesGcmCodec({"k": b"x" * 16}, "k")
    with pytest.raises(ValueError, match="not among the keys"):
        AesGcmCodec({"k": KEY}, "other")


async def test_memo_fields_are_sealed_whatever_their_name() -> None:
    converter = DataConverter(codec=AesGcmCodec({"k": KEY}, "k"))
    fields = {"header": CANARY, "searchAttributes": CANARY, "metadata": CANARY}
    sealed = await converter.encode(memo(converter, **fields))
    assert all(
        b64decode(payload["metadata"]["encoding"]) == b"binary/encrypted"
        for payload in sealed["memo"]["fields"].values()
    )


async def test_search_attributes_and_patch_markers_stay_readable_for_the_server() -> None:
    converter = DataConverter(codec=AesGcmCodec({"k": KEY}, "k"))
    payload = converter.payload_converter.to_payload("c-1")
    message: Message = {
        "searchAttributes": {"indexedFields": {"CustomerId": payload}},
        "recordMarkerCommandAttributes": {"details": {"patch-data": {"payloads": [payload]}}},
    }
    assert await converter.encode(message) == message


async def test_encoding_leaves_the_senders_own_payload_in_clear() -> None:
    converter = DataConverter(codec=AesGcmCodec({"k": KEY}, "k"))
    raw = RawValue(converter.payload_converter.to_payload("once"))
    message = {"input": converter.payload_converter.to_payloads([raw, raw])}
    sealed = await converter.encode(message)
    again = await converter.decode(sealed)
    assert converter.payload_converter.from_payloads(again["input"]) == ["once", "once"]
    assert converter.payload_converter.from_payload(raw.payload) == "once"


async def test_chained_codecs_undo_each_other_in_reverse_order() -> None:
    inner, outer = AesGcmCodec({"i": KEY}, "i"), AesGcmCodec({"o": NEW_KEY}, "o")
    chain = ChainCodec(inner, outer)
    payload = JsonPayloadConverter().to_payload(CANARY)
    sealed = await chain.encode([payload])
    assert await inner.decode(await outer.decode(sealed)) == [payload]
    assert await chain.decode(sealed) == [payload]
