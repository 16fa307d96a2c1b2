"""What the decorators know about workflow classes and activity functions."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from perdure.exceptions import DefinitionError

WORKFLOW_MARK = "__perdure_workflow__"
RUN_MARK = "__perdure_run__"
SIGNAL_MARK = "__perdure_signal__"
QUERY_MARK = "__perdure_query__"
ACTIVITY_MARK = "__perdure_activity__"

Function = Callable[..., Any]


@dataclass(frozen=True)
class Handler:
    """A signal or query handler: its name (None answers any name) and its argument types."""

    name: str | None
    function: Function
    argument_hints: Sequence[Any]
    result_hint: Any


@dataclass(frozen=True)
class WorkflowDefinition:
    """A workflow class as the worker runs it."""

    name: str
    cls: type
    run: Function
    argument_hints: Sequence[Any]
    result_hint: Any
    signals: Mapping[str | None, Handler]
    queries: Mapping[str | None, Handler]
    failure_exception_types: tuple[type[BaseException], ...] = ()


@dataclass(frozen=True)
class ActivityDefinition:
    """An activity function as the worker runs it."""

    name: str
    function: Function
    argument_hints: Sequence[Any]
    result_hint: Any
    is_async: bool


def hints_of(function: Function) -> tuple[Sequence[Any], Any]:
    """The types of a function's positional arguments, without self, and of its result.

    Unresolvable annotations (names imported for type checking only) count as missing.
    """
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        hints = typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    parameters = list(inspect.signature(target).parameters.values())
    if parameters and parameters[0].name == "self":
        parameters = parameters[1:]
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    arguments = [hints.get(item.name, Any) for item in parameters if item.kind in positional]
    return arguments, hints.get("return", Any)


def handler_of(name: str | None, function: Function) -> Handler:
    """The handler entry of a function."""
    arguments, result = hints_of(function)
    return Handler(name, function, arguments, result)


def define_workflow(
    cls: type, name: str | None, failure_exception_types: Sequence[type[BaseException]]
) -> WorkflowDefinition:
    """Check a decorated class and collect its handlers; raises DefinitionError."""
    runs: list[Function] = []
    signals: dict[str | None, Handler] = {}
    queries: dict[str | None, Handler] = {}
    for member_name in dir(cls):
        member = inspect.getattr_static(cls, member_name)
        if hasattr(member, RUN_MARK):
            runs.append(member)
        for mark, handlers in ((SIGNAL_MARK, signals), (QUERY_MARK, queries)):
            marked = getattr(member, mark, None)
            if marked is None:
                continue
            handler_name = marked["name"]
            if handler_name in handlers:
                raise DefinitionError(f"{cls.__qualname__} defines {handler_name!r} twice")
            handlers[handler_name] = handler_of(handler_name, member)
    if len(runs) != 1:
        raise DefinitionError(f"{cls.__qualname__} needs one @workflow.run method, has {len(runs)}")
    run = runs[0]
    if not inspect.iscoroutinefunction(run):
        raise DefinitionError(f"{cls.__qualname__}.{run.__name__} must be async def, no generator")
    arguments, result = hints_of(run)
    definition = WorkflowDefinition(
        name or cls.__name__,
        cls,
        run,
        arguments,
        result,
        signals,
        queries,
        tuple(failure_exception_types),
    )
    setattr(cls, WORKFLOW_MARK, definition)
    setattr(run, RUN_MARK, definition)
    return definition


def workflow_definition(target: object) -> WorkflowDefinition:
    """The definition of a workflow class or of its run method; raises DefinitionError."""
    definition = getattr(target, RUN_MARK, None)
    if definition is None and isinstance(target, type):
        definition = target.__dict__.get(WORKFLOW_MARK)
    if not isinstance(definition, WorkflowDefinition):
        raise DefinitionError(f"{target!r} is neither decorated with @workflow.defn nor its run")
    return definition


def define_activity(function: Function, name: str | None) -> ActivityDefinition:
    """Mark a function, method or callable object as an activity."""
    arguments, result = hints_of(function)
    target = function if inspect.isroutine(function) else type(function).__call__
    definition = ActivityDefinition(
        name or str(getattr(function, "__name__", type(function).__name__)),
        function,
        arguments,
        result,
        inspect.iscoroutinefunction(target),
    )
    setattr(function, ACTIVITY_MARK, definition)
    return definition


def activity_definition(target: Function) -> ActivityDefinition:
    """The definition of a decorated activity, bound if it is a method; raises DefinitionError."""
    definition = getattr(target, ACTIVITY_MARK, None)
    if not isinstance(definition, ActivityDefinition):
        raise DefinitionError(f"{target!r} is not decorated with @activity.defn")
    return replace(definition, function=target)


def name_and_result(target: Function | type | str, kind: str) -> tuple[str, Any]:
    """The name and result type of a workflow, activity, signal or query reference."""
    if isinstance(target, str):
        return target, None
    if kind == "workflow":
        workflow = workflow_definition(target)
        return workflow.name, workflow.result_hint
    if kind == "activity":
        assert callable(target)
        activity = activity_definition(target)
        return activity.name, activity.result_hint
    marked = getattr(target, SIGNAL_MARK if kind == "signal" else QUERY_MARK, None)
    if marked is None or marked["name"] is None:
        raise DefinitionError(f"{target!r} is no {kind} with a name")
    return marked["name"], hints_of(target)[1]
