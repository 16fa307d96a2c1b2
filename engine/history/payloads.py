"""Maps of payloads: memo and search attributes, where a null payload means no such key."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

from temporalio.api.common.v1 import Payload

ENCODING_NULL = b"binary/null"
EMPTY_JSON = (b"null", b"[]")


def is_null(payload: Payload) -> bool:
    """Whether setting a key to `payload` deletes it: null, or an empty list."""
    encoding = payload.metadata.get("encoding", b"")
    return (
        encoding == ENCODING_NULL
        or (not encoding and not payload.data)
        or (payload.data in EMPTY_JSON)
    )


def copy_payloads(target: MutableMapping[str, Payload], fields: Mapping[str, Payload]) -> None:
    """Set in `target` what `fields` holds, without the null ones."""
    for key in fields:
        if not is_null(fields[key]):
            target[key].CopyFrom(fields[key])


def payload_bytes(fields: Mapping[str, Payload]) -> dict[str, bytes]:
    """Serialized payloads by key, without the null ones.

    The same payload always gives the same bytes, however its metadata was ordered.
    """
    return {
        key: fields[key].SerializeToString(deterministic=True)
        for key in fields
        if not is_null(fields[key])
    }


def merge_payloads(held: dict[str, bytes], upserted: Mapping[str, Payload]) -> dict[str, bytes]:
    """A new map: `held` with the upserted keys set, null ones deleted."""
    kept = {key: value for key, value in held.items() if key not in upserted}
    return {**kept, **payload_bytes(upserted)}
