"""What nodes say to each other, as bytes: a method's argument, an answer or a refusal."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from engine import errors
from engine.call import Call
from engine.errors import EngineError, Internal
from engine.matching.task import PollerInfo, QueueKey, TaskRef

FORWARD = "forward"
OFFER = "offer"
START = "start"
NAMESPACES_CHANGED = "namespaces_changed"
TASK_QUEUES = "task_queues"
MEASURES = "measures"
OFFER_AGAIN = "offer_again"

Refusal = tuple[str, dict[str, Any], dict[str, str]]

OK = b"\0"
REFUSED = b"\1"


class Forward(msgspec.Struct, array_like=True, frozen=True):
    """A call for the owner of its shard, by an id that no other has."""

    call_id: bytes
    method: str
    request: bytes
    call: Call


class Offer(msgspec.Struct, array_like=True, frozen=True):
    """A task for a queue of the receiver. A sticky queue nobody polls refuses it."""

    queue: QueueKey
    task: TaskRef
    sticky: bool


class Start(msgspec.Struct, array_like=True, frozen=True):
    """A poller was found: start the task at the receiver's shard and answer the poll."""

    task: TaskRef
    poller: PollerInfo


Argument = TypeVar("Argument", Forward, Offer, Start)
_encoder = msgspec.msgpack.Encoder()


def encode(argument: msgspec.Struct) -> bytes:
    return _encoder.encode(argument)


def decode(kind: type[Argument], payload: bytes) -> Argument:
    return msgspec.msgpack.decode(payload, type=kind)


def encode_refusal(error: EngineError) -> bytes:
    """An error as bytes: its class by name, and what it knows."""
    known = {name: value for name, value in vars(error).items() if name != "ids"}
    ids = {name: str(value) for name, value in error.ids.items()}
    return REFUSED + _encoder.encode((type(error).__name__, known, ids))


def answer_of(reply: bytes) -> bytes:
    """The answer in a reply. Raises the refusal where it is one."""
    if reply[:1] == OK:
        return reply[1:]
    name, known, ids = msgspec.msgpack.decode(reply[1:], type=Refusal)
    kind = getattr(errors, name, Internal)
    error: EngineError = kind.__new__(kind)
    Exception.__init__(error, known.get("message", ""))
    vars(error).update(known, ids=ids)
    raise error
