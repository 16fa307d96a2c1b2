"""Signal and query handlers of a run."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from perdure.converter import RawValue
from perdure.definition import Handler, handler_of
from perdure.exceptions import ConversionError, PerdureError
from perdure.protojson import Message
from perdure.runtime import outcome

if TYPE_CHECKING:
    from perdure.runtime.instance import WorkflowInstance

_logger = logging.getLogger("perdure.workflow")


class Handlers:
    """Finds and calls handlers; signals without one wait until one is set."""

    def __init__(self, instance: WorkflowInstance) -> None:
        self.target: Any = None
        self.running = 0
        """How many async signal handlers have not finished."""
        self._instance = instance
        self._signals: dict[str | None, Handler] = {}
        self._queries: dict[str | None, Handler] = {}
        self._waiting: list[Message] = []

    def bind(self, target: Any) -> None:
        """Use the handlers of the workflow object; those its constructor set stay."""
        self.target = target
        definition = self._instance.definition
        for mine, theirs in (
            (self._signals, definition.signals),
            (self._queries, definition.queries),
        ):
            for name, handler in theirs.items():
                function = handler.function.__get__(target)
                bound = Handler(name, function, handler.argument_hints, handler.result_hint)
                mine.setdefault(name, bound)

    def set_signal(self, name: str | None, function: Callable[..., Any] | None) -> None:
        """Set or remove a signal handler and hand it the signals that waited for it."""
        self._set(self._signals, name, function)
        waiting, self._waiting = self._waiting, []
        for attributes in waiting:
            self.on_signal(attributes)

    def set_query(self, name: str | None, function: Callable[..., Any] | None) -> None:
        """Set or remove a query handler."""
        self._set(self._queries, name, function)

    def _set(
        self,
        handlers: dict[str | None, Handler],
        name: str | None,
        function: Callable[..., Any] | None,
    ) -> None:
        self._instance.check_writable()
        if function is None:
            handlers.pop(name, None)
        else:
            handlers[name] = handler_of(name, function)

    def on_signal(self, attributes: Message) -> None:
        """Call the signal's handler, or keep the signal until there is one."""
        name = attributes.get("signalName", "")
        handler = self._signals.get(name) or self._signals.get(None)
        if handler is None:
            self._waiting.append(attributes)
            return
        try:
            arguments = self._arguments(handler, name, attributes.get("input"))
        except ConversionError:
            # The sender cannot be told and a retry would not help, so the signal is dropped.
            _logger.exception("signal_dropped", extra={"signal": name})
            return
        try:
            result = handler.function(*arguments)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            outcome.settle_error(self._instance, error)
            return
        if inspect.iscoroutine(result):
            self.running += 1
            self._instance.loop.create_task(self._finish(result), name=f"signal {name}")

    async def _finish(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            await coroutine
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            outcome.settle_error(self._instance, error)
        finally:
            self.running -= 1

    def answer(self, name: str, arguments: Message | None) -> Message:
        """The payloads a query handler answers with."""
        converter = self._instance.converter.payload_converter
        if name == "__stack_trace":
            return {"payloads": [converter.to_payload(self._stack_trace())]}
        handler = self._queries.get(name) or self._queries.get(None)
        if handler is None:
            known = ", ".join(sorted(key for key in self._queries if key)) or "none"
            raise PerdureError(f"no query handler {name!r}; known queries: {known}")
        result = handler.function(*self._arguments(handler, name, arguments))
        if inspect.iscoroutine(result):
            result.close()
            raise PerdureError(f"query handler {name!r} must not be async")
        return {"payloads": [converter.to_payload(result)]}

    def _arguments(self, handler: Handler, name: str, message: Message | None) -> list[Any]:
        converter = self._instance.converter.payload_converter
        if handler.name is None:
            return [name, [RawValue(item) for item in (message or {}).get("payloads", [])]]
        return converter.from_payloads(message, handler.argument_hints)

    def _stack_trace(self) -> str:
        lines: list[str] = []
        for task in self._instance.loop.tasks:
            lines.append(f"{task.get_name()}:")
            for frame in task.get_stack():
                code = frame.f_code
                lines.append(f"  {code.co_filename}:{frame.f_lineno} in {code.co_qualname}")
        return "\n".join(lines)
