"""Keeps clocks, randomness and blocking calls out of workflow code, and only out of it.

Module functions are replaced, once per process, by ones that look at where they are called: in
workflow code they answer from the workflow's clock and random numbers or raise, elsewhere they do
what they did. What Python does not let us replace (methods of ``datetime``, names imported before)
is looked for in the code of each workflow class when a worker registers it.
"""

from __future__ import annotations

import datetime
import dis
import functools
import os
import random
import secrets
import time
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from perdure.definition import WorkflowDefinition
from perdure.exceptions import DefinitionError, RestrictedAccessError
from perdure.runtime.context import current_or_none
from perdure.runtime.instance import WorkflowInstance

Replacement = Callable[[WorkflowInstance], Any]


def _seconds(instance: WorkflowInstance) -> float:
    return instance.loop.time()


def _nanoseconds(instance: WorkflowInstance) -> int:
    return round(instance.loop.time() * 1_000_000) * 1000


def workflow_uuid4(instance: WorkflowInstance) -> uuid.UUID:
    """A random UUID that is the same at every replay."""
    return uuid.UUID(int=instance.random.getrandbits(128), version=4)


_CLOCKS: dict[str, Replacement] = {
    "time": _seconds,
    "monotonic": _seconds,
    "perf_counter": _seconds,
    "time_ns": _nanoseconds,
    "monotonic_ns": _nanoseconds,
    "perf_counter_ns": _nanoseconds,
}
_RANDOM = (
    "betavariate choice choices expovariate gammavariate gauss getrandbits lognormvariate "
    "normalvariate paretovariate randbytes randint random randrange sample shuffle triangular "
    "uniform vonmisesvariate weibullvariate"
).split()
_FORBIDDEN: tuple[tuple[types.ModuleType, str, str], ...] = (
    (time, "sleep", "await asyncio.sleep or workflow.sleep"),
    (os, "urandom", "workflow.random()"),
    (uuid, "uuid1", "workflow.uuid4()"),
    (random, "seed", "workflow.random()"),
    *((secrets, name, "an activity") for name in ("token_bytes", "token_hex", "token_urlsafe")),
    *((secrets, name, "an activity") for name in ("randbelow", "choice", "randbits")),
)
_NO_SUBSTITUTE: dict[Any, str] = {
    datetime.datetime.now: "workflow.now()",
    datetime.datetime.utcnow: "workflow.now()",
    datetime.datetime.today: "workflow.now()",
    datetime.date.today: "workflow.now().date()",
}
_originals: dict[Any, str] = {}


def install() -> None:
    """Put the guards in place; calling it again does nothing."""
    if _originals:
        return
    for name, replacement in _CLOCKS.items():
        _replace(time, name, "workflow.time()", replacement)
    for name in _RANDOM:
        _replace(random, name, "workflow.random()", _random_method(name))
    _replace(uuid, "uuid4", "workflow.uuid4()", workflow_uuid4)
    for module, name, remedy in _FORBIDDEN:
        _replace(module, name, remedy, None)
    _originals.update(_NO_SUBSTITUTE)


def _random_method(name: str) -> Replacement:
    return lambda instance: getattr(instance.random, name)


def _replace(
    module: types.ModuleType, name: str, remedy: str, replacement: Replacement | None
) -> None:
    original = getattr(module, name)
    _originals[original] = remedy
    calls_method = module is random and replacement is not None

    @functools.wraps(original)
    def guarded(*args: Any, **options: Any) -> Any:
        instance = current_or_none()
        if instance is None or instance.unguarded:
            return original(*args, **options)
        if replacement is None:
            raise RestrictedAccessError(
                f"{module.__name__}.{name} has another result at each replay; use {remedy}"
            )
        result = replacement(instance)
        return result(*args, **options) if calls_method else result

    setattr(module, name, guarded)


def check_definition(definition: WorkflowDefinition) -> None:
    """Look for calls the guards cannot catch in a workflow class; raises DefinitionError."""
    for function in vars(definition.cls).values():
        function = getattr(function, "__func__", function)
        if not isinstance(function, types.FunctionType):
            continue
        for code in _codes(function.__code__):
            for line, target in _references(code, function.__globals__):
                remedy = _remedy(target)
                if remedy is not None:
                    raise DefinitionError(
                        f"{code.co_filename}:{line}: {code.co_qualname} uses "
                        f"{getattr(target, '__qualname__', target)}, "
                        f"which has another result at each replay; use {remedy}"
                    )


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _references(code: types.CodeType, names: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    """Every global name with the attributes read from it, as the object it stands for now."""
    target: Any = None
    line = code.co_firstlineno
    for step in dis.get_instructions(code):
        if step.starts_line:
            line = step.positions.lineno or line if step.positions else line
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            target = names.get(str(step.argval))
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD") and target is not None:
            target = getattr(target, str(step.argval), None)
        else:
            target = None
        if target is not None:
            yield line, target


def _remedy(target: Any) -> str | None:
    try:
        return _originals.get(target)
    except TypeError:
        return None
