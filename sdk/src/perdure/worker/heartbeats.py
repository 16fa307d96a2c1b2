"""Heartbeats of one activity attempt: the latest details, sent at most once per interval."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from perdure.exceptions import RPCError, RPCStatusCode
from perdure.protojson import Message, pruned
from perdure.transport import NamespaceCalls

HEARTBEAT_TIMEOUT_SHARE = 0.8
HEARTBEAT_SECONDS_DEFAULT = 30.0
HEARTBEAT_SECONDS_MAX = 60.0

_logger = logging.getLogger("perdure.worker")


class Heartbeats:
    """Keeps what was recorded and not sent yet; ``run`` sends it until it is cancelled."""

    def __init__(
        self,
        calls: NamespaceCalls,
        *,
        task_token: str,
        identity: str,
        timeout: timedelta | None,
        on_stop: Callable[[RPCStatusCode], None],
    ) -> None:
        self.unsent: Message | None = None
        """The payloads that the server does not have yet."""
        self._calls = calls
        self._body = {"taskToken": task_token, "identity": identity}
        self._on_stop = on_stop
        self._interval_seconds = _interval_seconds(timeout)
        self._recorded = asyncio.Event()

    def record(self, payloads: Message | None) -> None:
        """Take the details of a heartbeat."""
        self.unsent = payloads or {}
        self._recorded.set()

    async def run(self) -> None:
        """Send what is recorded, the first at once; call ``on_stop`` when the attempt must end."""
        while True:
            await self._recorded.wait()
            self._recorded.clear()
            sending = self.unsent
            try:
                answer = await self._calls.post(
                    "activity-heartbeat",
                    body={**self._body, **pruned(details=sending or None)},
                    retry_seconds=self._interval_seconds,
                )
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    self._on_stop(RPCStatusCode.NOT_FOUND)
                    return
                _logger.warning("heartbeat_failed", extra={"status": error.status.name})
            else:
                if self.unsent is sending:
                    self.unsent = None
                if answer.get("cancelRequested"):
                    self._on_stop(RPCStatusCode.CANCELLED)
            await self._calls.transport.sleep(self._interval_seconds)


def _interval_seconds(timeout: timedelta | None) -> float:
    if not timeout:
        return HEARTBEAT_SECONDS_DEFAULT
    return min(timeout.total_seconds() * HEARTBEAT_TIMEOUT_SHARE, HEARTBEAT_SECONDS_MAX)
