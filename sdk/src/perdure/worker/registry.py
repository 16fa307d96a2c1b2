"""Workflows and activities by name, checked when a worker is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from perdure.definition import (
    ActivityDefinition,
    Function,
    WorkflowDefinition,
    activity_definition,
    workflow_definition,
)
from perdure.exceptions import DefinitionError
from perdure.runtime import guards

_D = TypeVar("_D", WorkflowDefinition, ActivityDefinition)


def workflows_by_name(classes: Iterable[type]) -> Mapping[str, WorkflowDefinition]:
    """Definitions of workflow classes; puts the guards in place. Raises DefinitionError."""
    definitions = _by_name([workflow_definition(item) for item in classes])
    if definitions:
        guards.install()
    for definition in definitions.values():
        guards.check_definition(definition)
    return definitions


def activities_by_name(functions: Iterable[Function]) -> Mapping[str, ActivityDefinition]:
    """Definitions of activity functions; raises DefinitionError."""
    return _by_name([activity_definition(item) for item in functions])


def _by_name(definitions: list[_D]) -> dict[str, _D]:
    found: dict[str, _D] = {}
    for definition in definitions:
        if definition.name in found:
            raise DefinitionError(f"the worker is given two definitions named {definition.name!r}")
        found[definition.name] = definition
    return found
