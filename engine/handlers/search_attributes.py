"""AddSearchAttributes, RemoveSearchAttributes, ListSearchAttributes."""

from __future__ import annotations

from msgspec.structs import replace
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    AddSearchAttributesResponse,
    ListSearchAttributesRequest,
    ListSearchAttributesResponse,
    RemoveSearchAttributesRequest,
    RemoveSearchAttributesResponse,
)

from engine.call import Call
from engine.cell.namespaces import Namespace
from engine.cell.services import Services
from engine.errors import AlreadyExists, InvalidArgument, NotFound
from engine.handlers import checks
from engine.handlers.handler import OPERATOR_SERVICE, Handler, anywhere
from engine.limits import SEARCH_ATTRIBUTE_COUNT_MAX
from engine.visibility.columns import SYSTEM_TYPES
from engine.visibility.search_attributes import PREDEFINED, TYPE_NAMES, TYPES_BY_NAME


async def add(
    services: Services, request: AddSearchAttributesRequest, call: Call
) -> AddSearchAttributesResponse:
    namespace = await services.namespaces.get(call.namespace_id)
    types = dict(namespace.settings.search_attributes)
    for name in request.search_attributes:
        checks.identifier("search_attributes", name)
        type_name = TYPE_NAMES.get(request.search_attributes[name])
        if type_name is None:
            raise InvalidArgument(f"search_attributes[{name!r}] has no type", "search_attributes")
        if name in PREDEFINED or name in SYSTEM_TYPES:
            raise InvalidArgument(
                f"search_attributes[{name!r}] is reserved; choose another name",
                "search_attributes",
            )
        if types.setdefault(name, type_name) != type_name:
            raise AlreadyExists(f"search attribute {name} exists with type {types[name]}")
    if len(types) > SEARCH_ATTRIBUTE_COUNT_MAX:
        raise InvalidArgument(
            f"a namespace has at most {SEARCH_ATTRIBUTE_COUNT_MAX} search attributes;"
            " remove some before",
            "search_attributes",
        )
    await _put(services, namespace, types)
    return AddSearchAttributesResponse()


async def remove(
    services: Services, request: RemoveSearchAttributesRequest, call: Call
) -> RemoveSearchAttributesResponse:
    namespace = await services.namespaces.get(call.namespace_id)
    types = dict(namespace.settings.search_attributes)
    for name in request.search_attributes:
        if types.pop(name, None) is None:
            raise NotFound(f"search attribute {name} does not exist")
    await _put(services, namespace, types)
    return RemoveSearchAttributesResponse()


async def list_all(
    services: Services, request: ListSearchAttributesRequest, call: Call
) -> ListSearchAttributesResponse:
    namespace = await services.namespaces.get(call.namespace_id)
    answer = ListSearchAttributesResponse()
    for name, type_name in namespace.settings.search_attributes.items():
        answer.custom_attributes[name] = TYPES_BY_NAME[type_name]
    for name, type_name in {**SYSTEM_TYPES, **PREDEFINED}.items():
        answer.system_attributes[name] = TYPES_BY_NAME[type_name]
    return answer


async def _put(services: Services, namespace: Namespace, types: dict[str, str]) -> None:
    settings = replace(namespace.settings, search_attributes=types)
    await services.namespaces.put(replace(namespace, settings=settings))


HANDLERS = (
    Handler(OPERATOR_SERVICE + "AddSearchAttributes", AddSearchAttributesRequest, anywhere, add),
    Handler(
        OPERATOR_SERVICE + "RemoveSearchAttributes",
        RemoveSearchAttributesRequest,
        anywhere,
        remove,
    ),
    Handler(
        OPERATOR_SERVICE + "ListSearchAttributes",
        ListSearchAttributesRequest,
        anywhere,
        list_all,
    ),
)
