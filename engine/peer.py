"""How nodes of a cell speak: one call that carries bytes, in every mode.

In one process it is a direct call, between processes a connection, in the simulator a network
that loses, doubles and delays. So a call may be executed although the caller saw it fail, and
every method of a peer is idempotent.
"""

from __future__ import annotations

from typing import Protocol


class Peer(Protocol):
    """The way from this node to the others."""

    async def call(self, node: str, method: str, payload: bytes) -> bytes:
        """The answer of `node` to `method`. Raises Unavailable when none came."""


class PeerServer(Protocol):
    """What a node answers to the others."""

    async def serve(self, method: str, payload: bytes) -> bytes:
        """Never raises: a refusal is part of the answer's bytes."""
