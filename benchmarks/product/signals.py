"""One workflow that takes signals without end, its senders, and the account of every signal."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from contextlib import suppress

from temporalio.api.common.v1.message_pb2 import WorkflowExecution
from temporalio.api.workflowservice.v1.request_response_pb2 import (
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
)

from benchmarks.http_client import BrokenAnswer
from benchmarks.load import Failed, Target
from benchmarks.product.driver import Product, expect_result, start
from benchmarks.product.wire import Refused, json_payloads
from benchmarks.product.workflows import STOP_SIGNAL

NUMBER_SIGNAL = "number"
DRAIN_WAIT_SECONDS_MAX = 60
LOOK_AGAIN_SECONDS = 0.05


class SignalSink:
    """A running workflow whose result says how many signals it handled and what they add up to.

    Each operation sends one number. A signal counts as handled when the completion of a workflow
    task that has seen it was accepted, so every number must be there once.
    """

    def __init__(self, product: Product) -> None:
        self._product = product
        self._workflow_id = f"signals-{uuid.uuid4().hex[:8]}"
        self._numbers = itertools.count(1)
        self._acknowledged: set[int] = set()
        self._unknown: set[int] = set()
        self.drain_seconds = 0.0

    async def open(self) -> Target:
        """Start the workflow."""
        wire = self._product.wire
        await start(wire, self._workflow_id, "signals", [0, 0])
        tally = self._product.tally
        return Target("product", self._product.pid, self.send_number, tally, self.audit)

    async def send_number(self, due: float) -> float:
        """Send the next number; the latency is that of the acknowledgement."""
        number = next(self._numbers)
        try:
            await self._send(NUMBER_SIGNAL, number)
        except (Refused, BrokenAnswer, OSError) as problem:
            self._unknown.add(number)
            self._product.tally.note(f"signal {number}: {problem}")
            raise Failed from problem
        self._acknowledged.add(number)
        return time.perf_counter() - due

    async def audit(self) -> None:
        """Wait until all is handled, stop the workflow, compare its result with what was sent."""
        handled, tally = self._product.worker.handled_signals, self._product.tally
        began = time.perf_counter()
        for _ in range(round(DRAIN_WAIT_SECONDS_MAX / LOOK_AGAIN_SECONDS)):
            if handled.keys() >= self._acknowledged:
                break
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        self.drain_seconds = time.perf_counter() - began
        tally.lost += len(self._acknowledged - handled.keys())
        tally.duplicates += sum(count - 1 for count in handled.values())
        if strangers := handled.keys() - self._acknowledged - self._unknown:
            tally.note(f"{len(strangers)} signals were handled that nobody sent")
        await self._send(STOP_SIGNAL, 0)
        # With all signals handled no run follows the current one, which an empty run id names.
        current = (self._workflow_id, "")
        expected = [len(handled), sum(handled)]
        with suppress(Failed):  # The tally knows.
            await expect_result(self._product.wire, tally, current, expected)

    async def _send(self, name: str, number: int) -> None:
        request = SignalWorkflowExecutionRequest(
            workflow_execution=WorkflowExecution(workflow_id=self._workflow_id),
            signal_name=name,
            input=json_payloads(b"%d" % number),
            identity="benchmark-client",
            request_id=str(uuid.uuid4()),
        )
        path = f"/workflows/{self._workflow_id}/signal/{name}"
        body = request.SerializeToString()
        await self._product.wire.post(path, body, SignalWorkflowExecutionResponse)
